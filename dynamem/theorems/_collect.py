"""Finding theorems in files and folders, as pytest finds tests, and proving them one after the other."""

import dataclasses
import functools
import importlib.util
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import ModuleType

from .._errors import InputError
from ._record import Outcome, Theorem, told


STOPPED = "interrupted before it was decided"


@dataclasses.dataclass(frozen=True)
class Found:
    """A theorem of a file, or why the file gave none."""

    file: Path
    theorem: Theorem | None
    reason: str = ""

    @property
    def name(self) -> str:
        """The theorem's name; the file's if it has none."""
        return self.file.stem if self.theorem is None else self.theorem.name

    def prove(self) -> Outcome:
        """The outcome; a file that cannot be read has failed."""
        if self.theorem is None:
            return Outcome(self.name, str(self.file), "failed", "", "", 0.0, self.reason)
        return self.theorem.prove()


def own_folder() -> Path:
    """The folder of dynamem's own theorems: inside an installed package, beside it in a checkout."""
    inside = Path(str(files("dynamem"))) / "theorems" / "library"
    return inside if inside.is_dir() else Path(str(files("dynamem"))).parent / "proofs"


def collect(places: Sequence[Path]) -> list[Found]:
    """The theorems of files and folders, in the order of file names.

    Arguments:
        places: Python files, or folders whose ``*.py`` are taken except those that begin with ``_``.

    Raises:
        InputError: a place does not exist or holds no theorem.
    """
    return [one for place in places for file in _files(place) for one in _of(file)]


def select(found: Sequence[Found], pattern: str) -> list[Found]:
    """Those whose name, title or file fits words joined by ``and``, ``or``, ``not``; all of them for "".

    Raises:
        InputError: the pattern cannot be read.
    """
    chosen = _pattern(pattern)
    return [one for one in found if chosen(_words(one))]


@functools.cache
def own() -> dict[str, Found]:
    """Dynamem's own theorems by name."""
    return {one.name: one for one in collect([own_folder()])}


def prove(
    found: Sequence[Found],
    report: Callable[[Outcome], None] = lambda outcome: None,
    *,
    among: Sequence[Found] = (),
    budget_s: float | None = None,
) -> list[Outcome]:
    """Prove them all, and then what they cite; after Ctrl-C, and beyond the budget, what is left is `undecided`.

    Arguments:
        found: what `collect` found.
        report: called with each outcome as it comes.
        among: where theorems that are cited are looked for first; then among dynamem's own.
        budget_s: seconds for all of them. In the main thread a proof that runs when it is spent is stopped.
    """
    outcomes: list[Outcome] = []
    waiting = list(found)
    end = float("inf") if budget_s is None else time.monotonic() + budget_s
    while waiting:
        one, left = waiting[0], end - time.monotonic()
        try:
            with _alarm(left):
                outcome = one.prove() if left > 0 else _stopped(one, f"the {budget_s:g} s for all theorems were spent")
        except KeyboardInterrupt:
            return outcomes + [_stopped(other, STOPPED) for other in waiting]
        outcomes.append(outcome)
        report(outcome)
        waiting = waiting[1:]
        known = {other.name for other in (*outcomes, *waiting)}
        waiting += [cited for name in _cited(outcome) if name not in known for cited in _named(name, among)]
    return _resting(outcomes, report)


def _named(name: str, among: Sequence[Found]) -> list[Found]:
    """The theorems of this name, none if nobody states it."""
    return [one for one in among if one.name == name] or [own()[name] for _ in (0,) if name in own()]


def _resting(outcomes: list[Outcome], report: Callable[[Outcome], None]) -> list[Outcome]:
    """A theorem that cites what does not stand is `undecided`, and so on up."""
    for place, one in enumerate(outcomes):
        reason = _unsupported(one, outcomes) if one.status == "proved" else ""
        if reason:
            outcomes[place] = dataclasses.replace(one, status="undecided", reason=reason)
            report(outcomes[place])
            return _resting(outcomes, report)
    return outcomes


def _unsupported(one: Outcome, outcomes: Sequence[Outcome]) -> str:
    """What a theorem cites that was tried and not proved, that nobody proves, or that rests on it in turn; or ""."""
    cites = {other.name: _cited(other) for other in outcomes}
    bad = {other.name: other.status for other in outcomes if other.status != "proved"}
    for name in _cited(one):
        if name in bad:
            return f"rests on {name}, which is {bad[name]}"
        if name not in cites:
            return f"rests on {name}, which is no theorem of these files and none of dynamem's"
    reached: set[str] = set()
    waiting = _cited(one)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += cites.get(name, [])
    return "rests on itself" if one.name in reached else ""


def _cited(one: Outcome) -> list[str]:
    return list(dict.fromkeys(step.name for step in one.steps if step.kind == "cited"))


def prove_named(names: Sequence[str]) -> dict[str, Outcome]:
    """Outcomes of dynamem's own theorems of these names, and of those that they cite."""
    outcomes = prove([own()[name] for name in dict.fromkeys(names) if name in own()])
    if any(one.reason == STOPPED for one in outcomes):
        raise KeyboardInterrupt
    return {one.name: one for one in outcomes}


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in the block after so many seconds, where the system and the thread allow it."""
    able = 0 < seconds < float("inf") and threading.current_thread() is threading.main_thread()
    if not able or sys.platform == "win32":
        yield
        return

    def ring(*_: object) -> None:
        msg = "the time for all theorems was spent"
        raise TimeoutError(msg)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _stopped(one: Found, why: str) -> Outcome:
    title, domain = (one.theorem.title, one.theorem.domain) if one.theorem else (str(one.file), "")
    return Outcome(one.name, title, "undecided", domain, "", 0.0, why)


def _files(place: Path) -> Iterator[Path]:
    if place.is_file() and place.suffix == ".py":
        yield place
        return
    if not place.is_dir():
        msg = f"{str(place)!r} is no folder and no Python file: name a file of theorems or a folder of such"
        raise InputError(msg)
    chosen = sorted(file for file in place.glob("*.py") if not file.name.startswith("_"))
    if not chosen:
        msg = f"{str(place)!r} holds no Python file: a theorem is a function under `dynamem.theorems.theorem`"
        raise InputError(msg)
    yield from chosen


def _of(file: Path) -> list[Found]:
    try:
        module = _imported(file)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a file raises is that file's row
        return [Found(file, None, told(error))]
    theorems = [value for value in vars(module).values() if isinstance(value, Theorem)]
    own = list({id(one): one for one in theorems if one.argue.__module__ == module.__name__}.values())
    return [Found(file, one) for one in own] or [Found(file, None, "it defines no theorem")]


def _imported(file: Path) -> ModuleType:
    """The file as a module of its own; its folder can be imported from while it runs."""
    name, folder = f"_dynamem_theorems_{abs(hash(file.resolve()))}_{file.stem}", file.resolve().parent
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        msg = f"{str(file)!r} cannot be imported"
        raise InputError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        for other in set(sys.modules) - before:  # a neighbour of this file is none of another folder's
            if Path(getattr(sys.modules[other], "__file__", None) or "/").parent == folder:
                del sys.modules[other]
    return module


def _words(one: Found) -> str:
    title = one.theorem.title if one.theorem else ""
    return f"{one.name} {one.file.stem} {title}".lower()


def _pattern(text: str) -> Callable[[str], bool]:
    """``a and not b or c``: each word has to occur; the words bind as in Python, without brackets."""
    tokens = text.lower().split()
    if not tokens:
        return lambda words: True
    alternatives: list[list[tuple[bool, str]]] = [[]]
    wanted, ready = True, True
    for token in tokens:
        if token == "not" and ready:
            wanted = not wanted
        elif token in ("and", "or") and not ready:
            ready, wanted = True, True
            alternatives += [[]] if token == "or" else []
        elif token not in ("and", "or", "not") and ready:
            alternatives[-1].append((wanted, token))
            ready = False
        else:
            ready = True
            break
    if ready:
        msg = f"-k {text!r} cannot be read: words joined by 'and', 'or', 'not', such as \"d4 or ddim and not euler\""
        raise InputError(msg)
    return lambda words: any(all((word in words) is sign for sign, word in group) for group in alternatives)
