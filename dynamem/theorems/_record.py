"""A theorem and what came of proving it."""

import dataclasses
import inspect
import time
from collections.abc import Callable
from typing import Any, Literal

from .._errors import InputError
from ._proof import NotProvedError, Proof, Step


Status = Literal["proved", "undecided", "failed"]
LONGEST = 400


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one theorem.

    Attributes:
        name: such as "D4".
        title: one line.
        status: ``proved``; ``undecided`` with what is left; ``failed`` with why, or with numbers against it.
        domain: for which N, D and parameters.
        method: how many steps of which kind.
        seconds: how long it took.
        reason: "" if proved.
        steps: the evidence.
    """

    name: str
    title: str
    status: Status
    domain: str
    method: str
    seconds: float
    reason: str = ""
    steps: tuple[Step, ...] = ()


@dataclasses.dataclass(frozen=True)
class Theorem:
    """A statement with its proof, a function that lays evidence on a `Proof`.

    Attributes:
        name: such as "D4".
        title: the statement in one line.
        domain: for which N, D and parameters it is proved, and how.
        argue: the proof; the statement's constants are its keyword arguments.
    """

    name: str
    title: str
    domain: str
    argue: Callable[..., None]

    def __post_init__(self) -> None:
        for word, text in (("name", self.name), ("title", self.title), ("domain", self.domain)):
            if not isinstance(text, str) or not text.strip():
                msg = f"{word}={text!r}: a theorem needs a text here"
                raise InputError(msg)
        if not callable(self.argue) or not inspect.signature(self.argue).parameters:
            msg = (
                f"argue={self.argue!r}: a theorem is a function of a Proof, with the statement's constants as keywords"
            )
            raise InputError(msg)

    @property
    def constants(self) -> dict[str, Any]:
        """The constants of the statement, by name."""
        found = inspect.signature(self.argue).parameters.values()
        return {one.name: one.default for one in found if one.default is not inspect.Parameter.empty}

    def prove(self, **constants: Any) -> Outcome:
        """Run the proof, with other constants than the statement's if any are given."""
        start, proof = time.perf_counter(), Proof()
        status, reason = "proved", ""
        try:
            self.argue(proof, **constants)
            if proof.fault is not None:
                raise proof.fault
        except NotProvedError as error:
            status, reason = "failed" if error.refuted else "undecided", str(error)
        except (KeyboardInterrupt, TimeoutError) as error:
            status, reason = "undecided", f"stopped ({type(error).__name__}) after {len(proof.steps)} steps"
            if isinstance(error, KeyboardInterrupt):
                raise
        except BaseException as error:  # an exit within a proof is no success, and no end of the other proofs
            status, reason = "failed", told(error)
        if status == "proved" and proof.open:
            status, reason = "undecided", "; ".join(proof.open)
        if status == "proved" and not any(step.kind == "symbolic" for step in proof.steps):
            status, reason = "undecided", "numbers only, nothing was shown symbolically"
        seconds = time.perf_counter() - start
        return Outcome(self.name, self.title, status, self.domain, _method(proof), seconds, cut(reason), proof.steps)


def told(error: BaseException) -> str:
    """What was raised, on one line, whatever its own code makes of being asked."""
    try:
        return cut(f"{type(error).__name__}: {error}")
    except Exception:
        return f"{type(error).__name__}, whose message cannot be read"


def cut(text: str) -> str:
    """The text on one line, cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _method(proof: Proof) -> str:
    words = {"symbolic": "symbolic", "numerical": "numerical", "witness": "witnesses", "cited": "lemmas"}
    counts = {word: sum(step.kind == kind for step in proof.steps) for kind, word in words.items()}
    regions = dict.fromkeys(f"where {step.name}" for step in proof.steps if step.kind == "region")
    return ", ".join([*(f"{count} {word}" for word, count in counts.items() if count), *regions])


def theorem(name: str, title: str, *, domain: str) -> Callable[[Callable[..., None]], Theorem]:
    """Make a theorem of a function ``argue(proof, *, constants...)``.

    Arguments:
        name: short, such as "D4".
        title: the statement in one line.
        domain: for which N, D and parameters the proof holds, and how.

    Raises:
        InputError: a text is empty, or the function takes no `Proof`.
    """
    return lambda argue: Theorem(name, title, domain, argue)
