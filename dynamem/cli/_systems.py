"""The systems that an audit is asked for: built-in names, and a user's own as `module:attribute`."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from .._errors import DynamemError, InputError
from ._data import require_own


def is_own(name: str) -> bool:
    """Whether the name is of the form `module:attribute`."""
    return ":" in name


def check_names(names: Sequence[str], known: Sequence[str], kind: str = "system") -> None:
    """Refuse names that are nothing built in and not of the form `module:attribute`.

    Args:
        names: what was asked for.
        known: what is built in.
        kind: what they are names of; those of systems are listed by `dynamem list`, others here.

    Raises:
        InputError: with the nearest names.
    """
    for name in names:
        if is_own(name):
            _check_form(name, kind)
        elif name not in known:
            near = nearest(name, known)
            known_ones = "see `dynamem list`" if kind == "system" else f"there are {', '.join(known)}"
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else known_ones
            msg = f"{kind}={name!r} is unknown; {hint}"
            raise InputError(msg)


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """The names that look like it, in upper or lower case, as a whole or after the slash."""
    forms: dict[str, list[str]] = {}
    for one in known:
        for form in dict.fromkeys((one.lower(), one.lower().rpartition("/")[2])):
            forms.setdefault(form, []).append(one)
    wanted = name.lower()
    close = [wanted] if wanted in forms else get_close_matches(wanted, forms, n=3, cutoff=0.5)
    return list(dict.fromkeys(one for form in close for one in forms[form]))[:4]


def _check_form(name: str, kind: str) -> None:
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(word.isidentifier() for word in module.split(".")):
        msg = f"{kind}={name!r} is not of the form module:attribute (two names, nothing is evaluated)"
        raise InputError(msg)


def check_own(names: Sequence[str], load: Callable[[str, Callable[[str], None]], Any]) -> list[str]:
    """Load each `module:attribute` once, so that one that does not load is refused before the run.

    Args:
        names: built-in names are passed over.
        load: takes `module:attribute` and a place for notes, returns the system or raises.

    Returns:
        Notes on what was done to the systems.

    Raises:
        InputError: whatever keeps the module from being imported or the attribute from being a system.
    """
    notes: list[str] = []
    for name in filter(is_own, names):
        try:
            system = load(name, notes.append)
        except DynamemError:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's module does when imported
            msg = f"system={name!r} cannot be loaded: {type(error).__name__}: {error}"
            raise InputError(msg) from error
        require_own(name, system.states.shape)
    return notes
