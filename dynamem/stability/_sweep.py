r"""Sweeps that survive a kill: one line of JSON for each point, written whole and at once; what is there is not redone.

The first line says which sweep a file is of (a hash of its name and settings); a file of another one is refused. A last
line that a kill cut short is dropped. Numbers go through JSON whether they were stored or not, and Python writes floats
so that they are read back bit for bit, so that a resumed sweep equals one that ran through.
"""

import dataclasses
import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .._errors import InputError
from ._basins import silent


SCHEMA = "dynamem.sweep/1"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep by name, with all that its results depend on beside the points.

    Attributes:
        name: what is computed.
        settings: plain numbers and words that the function uses beside the point, the seed among them.
        store: a file of JSON lines, None to keep nothing.
        tell: takes a sentence on progress after every point.
    """

    name: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    store: str | Path | None = None
    tell: Callable[[str], None] = silent

    @property
    def fingerprint(self) -> str:
        """A hash of name and settings."""
        return hashlib.sha256(_line([self.name, dict(self.settings)], "settings").encode()).hexdigest()[:32]

    def run(
        self, function: Callable[[dict[str, Any]], Mapping[str, Any]], points: Iterable[Mapping[str, Any]]
    ) -> "Swept":
        """``function`` at every point that the file does not have yet.

        Arguments:
            function: from a point to numbers by name, which may depend on nothing but the point and the settings.
            points: plain numbers and words by name.

        Returns:
            The points with their numbers, in order; with Ctrl-C those that are done.

        Raises:
            InputError: the file is of another sweep or cannot be written, or a point or result is no plain JSON.
        """
        wanted = [dict(point) for point in points]
        names = [_line(point, "points") for point in wanted]
        known = self._opened()
        done: list[tuple[dict[str, Any], dict[str, Any]]] = []
        try:
            for place, (name, point) in enumerate(zip(names, wanted, strict=True)):
                if name not in known:
                    text = _line({"point": point, "result": dict(function(point))}, "result")
                    known[name] = _named(json.loads(text)["result"])
                    self._append(text)
                done.append((point, known[name]))
                self.tell(f"{self.name}: {place + 1} of {len(wanted)} points")
        except KeyboardInterrupt:
            self.tell(f"{self.name}: interrupted after {len(done)} of {len(wanted)} points, which are kept")
            return Swept(tuple(done), interrupted=True)
        return Swept(tuple(done), interrupted=False)

    def _opened(self) -> dict[str, dict[str, Any]]:
        """What the file has; it is begun where there is none, and cut after its last whole line."""
        if self.store is None:
            return {}
        file, header = Path(self.store), {"schema": SCHEMA, "name": self.name, "fingerprint": self.fingerprint}
        try:
            text = file.read_bytes() if file.exists() else b""
            whole = text[: text.rfind(b"\n") + 1]
            if not whole:
                _require_ours(file, text, _line(header, "name"))
                file.write_bytes(b"")
                self._append(_line(header, "name"))
                return {}
            lines = whole.decode().splitlines()
            found = self._found(file, header, lines)
            if whole != text:
                os.truncate(file, len(whole))
        except OSError as error:
            msg = f"store={str(file)!r} cannot be used: {error.strerror}; name a file in a folder that exists"
            raise InputError(msg) from None
        except UnicodeDecodeError:
            raise _refusal(file, "holds no text") from None
        return found

    def _found(self, file: Path, header: dict[str, Any], lines: list[str]) -> dict[str, dict[str, Any]]:
        found = {}
        for number, line in enumerate(lines):
            try:
                entry = json.loads(line)
                if number == 0 and entry != header:
                    raise _refusal(file, f"is of another sweep ({str(entry)[:80]})")
                if number:
                    found[_line(entry["point"], "point")] = _named(entry["result"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                if isinstance(error, InputError):
                    raise
                raise _refusal(file, f"is damaged in line {number + 1}") from None
        return found

    def _append(self, text: str) -> None:
        if self.store is None:
            return
        line = f"{text}\n".encode()
        try:
            with Path(self.store).open("ab", buffering=0) as stream:  # one write, so that a line is whole or last
                if stream.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(stream.fileno())
        except OSError as error:
            msg = f"store={str(self.store)!r} cannot be written: {error.strerror}"
            raise InputError(msg) from None


@dataclasses.dataclass(frozen=True)
class Swept:
    """What a sweep found.

    Attributes:
        done: points with their numbers, in order.
        interrupted: whether Ctrl-C left some out.
    """

    done: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    interrupted: bool


def _refusal(file: Path, why: str) -> InputError:
    return InputError(f"store={str(file)!r} {why}: name another file, or remove this one")


def _require_ours(file: Path, text: bytes, header: str) -> None:
    """A file without a whole line may be emptied only if it is empty, or the beginning of our own first line."""
    if not f"{header}\n".encode().startswith(text):
        raise _refusal(file, "is no file of a sweep")


def _line(value: Any, name: str) -> str:
    """One line of JSON, keys in order, numbers that are none as words."""
    try:
        return json.dumps(_written(value), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"{name}: {error}; need plain numbers, words, lists and dicts"
        raise InputError(msg) from None


def _written(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _written(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_written(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(float(value))}
    return value


def _named(result: dict[str, Any]) -> dict[str, Any]:
    """Numbers by name."""
    return {key: _read(one) for key, one in result.items()}


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if value.keys() == {"float"} else {key: _read(one) for key, one in value.items()}
    return [_read(one) for one in value] if isinstance(value, list) else value
