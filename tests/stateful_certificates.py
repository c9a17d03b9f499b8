"""A machine that writes, copies, damages, forges and verifies certificates in any order."""

import contextlib
import errno
import functools
import io
import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import diffrax as dfx
import jax.numpy as jnp
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import dynamem as dm
from dynamem import rigour
from dynamem.cli import main
from dynamem.rigour._document import digest
from dynamem.rigour._program_json import written
from dynamem.rigour._question import question


BOXED = {
    "cubic": (["--box", "-0.9", "0.9", "0.1", "0.9", "--claim", "strict_decrease"], [(-0.9, 0.9), (0.1, 0.9)]),
    "turning": (["--box", "-1", "1", "-1", "1"], [(-1.0, 1.0), (-1.0, 1.0)]),
    "steep": (["--box", "0.5", "1", "--lam", "0", "1", "--claim", "positive"], [(0.5, 1.0), (0.0, 1.0)]),
}
NAMES = ("a", "b", "c")
FORGED = ("box", "leaf", "leaves", "other program", "strict", "one part")


def _system(square, field, size=2):
    flow = dfx.ODETerm(lambda t, x, args: field(x))
    return dm.System(square, flow, jnp.eye(2)[:, :size], 0.0, 1.0)


cubic = _system(lambda t, x: x @ x, lambda x: -x + x**3)
turning = _system(lambda t, x: x @ x, lambda x: jnp.stack([x[1], -x[0]]))
steep = _system(lambda t, x: jnp.exp(-t) * (x @ x) - 0.05, lambda x: -x, 1)


@functools.cache
def verdict(name):
    """The verdict on a system of this file, computed once."""
    words, box = BOXED[name]
    claim = words[words.index("--claim") + 1] if "--claim" in words else "nonincrease"
    system = globals()[name]
    return CERTIFY(system.energy, system.flow, box, claim=claim, algebra=False)


CERTIFY = rigour.certify


@functools.cache
def rising():
    """The program of a rate that is above 0 everywhere but at one point."""
    rises = dfx.ODETerm(lambda t, x, args: x)
    return written(question(cubic.energy, rises, 2, (), "nonincrease").program())


def ran(*args):
    """Exit code, output and errors of the command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(args))
    return code, out.getvalue(), err.getvalue()


def canonical(value):
    return json.dumps(value, sort_keys=True)


def leaves(body, path=()):
    """Paths of all values in nested JSON."""
    parts = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [found for part, value in parts for found in leaves(value, (*path, part))] or [path]


def changed(value, by):
    """Something near, of the same kind."""
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return not value
    if isinstance(value, int):
        return value + by
    if value.startswith(("0x", "-0x")):
        return math.nextafter(float.fromhex(value), by * math.inf).hex()
    return value[:-1] if by < 0 and value else value + "0"


class Folder(RuleBasedStateMachine):
    """Certificates that are written, copied, damaged, forged and verified; the model is what each file should be."""

    forged = FORGED

    def __init__(self):
        RuleBasedStateMachine.__init__(self)
        self.folder = Path(tempfile.mkdtemp())
        self.files = {}  # name -> (bytes, problem or None where it must not replay)

    def teardown(self):
        try:
            for name in self.files:
                self.verify(name)
        finally:
            shutil.rmtree(self.folder)

    @invariant()
    def nothing_is_lost(self):
        there = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        assert there == {name: text for name, (text, _) in self.files.items()}, "a file was lost, changed or left over"

    def certified(self, problem, name):
        words = [f"{__name__}:{problem}", *BOXED[problem][0], "--certificate", str(self.folder / name)]
        with mock.patch.object(rigour, "certify", return_value=verdict(problem)):
            return ran("certify", *words)

    def put(self, name, text, problem):
        (self.folder / name).write_bytes(text)
        self.files[name] = (text, problem)

    @rule(name=st.sampled_from(NAMES), problem=st.sampled_from(sorted(BOXED)))
    def write(self, name, problem):
        code, _, err = self.certified(problem, name)
        text = (self.folder / name).read_bytes()
        assert (code, err) == (0, ""), "it cannot be written"
        assert json.loads(text) == verdict(problem).evidence["certificate"], "another certificate was written"
        self.files[name] = (text, problem)

    @rule(name=st.sampled_from(NAMES), problem=st.sampled_from(sorted(BOXED)), ctrl_c=st.booleans())
    def fail_to_write(self, name, problem, ctrl_c):
        write = Path.write_text

        def half(path, text, **how):
            write(path, text[: len(text) // 2], **how)
            raise KeyboardInterrupt if ctrl_c else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with mock.patch.object(Path, "write_text", half):
            code, _, err = self.certified(problem, name)
        assert code == (130 if ctrl_c else 2), "another exit code than of a failed write"
        assert err.count("\n") == 1, "more than a line"

    @precondition(lambda self: self.files)
    @rule(data=st.data(), to=st.sampled_from(NAMES))
    def copy(self, data, to):
        self.put(to, *self.files[self.some(data)])

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def check(self, data):
        self.verify(self.some(data))

    def some(self, data):
        return data.draw(st.sampled_from(sorted(self.files)))

    def verify(self, name):
        _, problem = self.files[name]
        code, out, err = ran("verify", str(self.folder / name))
        if problem is None:
            assert code in (1, 2), "what was tampered with replays"
            assert (out + err).count("\n") == 1, "more than a line"
            said = out.startswith("does not replay: ") if code == 1 else err.startswith("dynamem: error: ")
            assert said, "another line than that of this exit code"
            return
        body = verdict(problem).evidence["certificate"]
        lo, hi = (float.fromhex(end) for end in body["box"][0])
        assert (code, err) == (0, ""), f"an intact certificate does not replay: {out}{err}"
        assert out.startswith(f"replays: {body['claim']}, "), "it speaks of another claim"
        assert f" in [{lo!r}, {hi!r}]" in out, "it speaks of another region"

    def intact(self, data):
        """A file that replays, and what it holds."""
        name = data.draw(st.sampled_from(sorted(name for name, (_, problem) in self.files.items() if problem)))
        text, problem = self.files[name]
        return name, json.loads(text), problem

    some_intact = precondition(lambda self: any(problem for _, problem in self.files.values()))

    @some_intact
    @rule(data=st.data(), by=st.sampled_from((1, -1)))
    def change_a_value(self, data, by):
        name, body, _ = self.intact(data)
        field = data.draw(st.sampled_from(sorted(body)))
        path = data.draw(st.sampled_from(leaves({field: body[field]})))
        *way, last = path
        functools.reduce(lambda inner, step: inner[step], way, body)[last] = changed(
            functools.reduce(lambda inner, step: inner[step], path, body), by
        )
        self.put(name, json.dumps(body).encode(), None)

    @some_intact
    @rule(data=st.data(), at=st.integers(0, 10**4), byte=st.integers(0, 255))
    def change_a_byte(self, data, at, byte):
        name, body, problem = self.intact(data)
        text = bytearray(self.files[name][0])
        text[at % len(text)] = byte
        try:
            same = canonical(json.loads(text.decode())) == canonical(body)
        except ValueError:
            same = False
        self.put(name, bytes(text), problem if same else None)

    @some_intact
    @rule(data=st.data(), count=st.integers(2, 900))
    def truncate(self, data, count):
        name, _, _ = self.intact(data)
        text = self.files[name][0].rstrip()
        self.put(name, text[: max(0, len(text) - count)], None)

    @some_intact
    @rule(data=st.data(), indent=st.sampled_from((None, 1)), turned=st.booleans())
    def write_it_otherwise(self, data, indent, turned):
        """The same values, with other spaces and in another order."""
        name, body, problem = self.intact(data)
        body = dict(reversed(body.items())) if turned else body
        self.put(name, json.dumps(body, indent=indent).encode(), problem)

    @some_intact
    @rule(
        data=st.data(),
        other=st.sampled_from(sorted(BOXED)),
        field=st.sampled_from(("sha256", "box", "cuts", "program")),
    )
    def swap(self, data, other, field):
        name, body, problem = self.intact(data)
        theirs = verdict(other).evidence["certificate"][field]
        same = theirs == body[field]
        self.put(name, json.dumps(body | {field: theirs}).encode(), problem if same else None)

    @some_intact
    @rule(data=st.data(), how=st.integers(0, len(FORGED) - 1))
    def forge(self, data, how):
        """A claim that is false or unfounded, with a hash that fits."""
        how = self.forged[how % len(self.forged)]
        name, body, _ = self.intact(data)
        cuts = body["cuts"].split()
        far = [[(-3.0).hex(), (3.0).hex()] for _ in body["box"]]
        more = {
            "box": {"box": far, "claim": "LE < 0", "strict": True},
            "leaf": {"cuts": " ".join(cuts[:-1]) or "0"}, "leaves": {"cuts": f"{body['cuts']} v"},
            "other program": {"program": rising(), "claim": "LE <= 0", "strict": False, "timed": False},
            "strict": {"box": far, "claim": "E > 0", "strict": True},
            "one part": {"cuts": "v", "box": far, "claim": "E > 0", "strict": True},
        }[how]  # fmt: skip
        if how == "strict":
            body["program"] = verdict("turning").evidence["certificate"]["program"]
        forged = body | more
        self.put(name, json.dumps(forged | {"sha256": digest(forged)}).encode(), None)
