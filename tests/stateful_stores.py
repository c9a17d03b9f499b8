"""Machines that use what dynamem keeps in files in any order: stores of sweeps, rows of a memorisation."""

import contextlib
import dataclasses
import functools
import json
import math
import resource
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dynamem._errors import InputError
from dynamem.stability import _capacity, _memorisation
from dynamem.stability._sweep import Sweep


# ------------------------------------------------------------------------------- stores of sweeps

SEEDS = (1, 2)
STOPS = ("no", "no", "before", "after", "error", "disk")
GARBAGE = (b"x", b'{"point": {"x": 1', b"nonsense\n", b"\n", b'{"point": {"x": 9}}\n', b"null\n", b"\xff\n",
           b'{"point": {"x": 9}, "result": 5}\n', b'{"point": {}, "result": {"y": {"float": "z"}}}\n')  # fmt: skip


class Stop(Exception):
    """What a function of a user raises."""


@contextlib.contextmanager
def full_disk(room):
    """No file may grow beyond ``room`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def numbers(point, seed):
    """Floats with many digits, some that are none, and names in names."""
    x = point["x"]
    strange = {0: math.nan, 1: -math.inf, 2: -0.0}.get(x, x**0.5 / 3)
    return {"float": x * seed / 7, "odd": strange, "list": [x, {"deep": 1 / (x + seed)}], "word": f"é{x}"}


class Numbers:
    """A sweep of plain numbers; points may be asked for twice."""

    places = st.lists(st.integers(0, 7), min_size=1, max_size=8)

    def points(self, places):
        return [{"x": place} for place in places]

    def run(self, sweep, places, seed, store, ask, tell):
        """The numbers found, in the order of the points, and whether all are there."""
        found = sweep("numbers", {"seed": seed}, store, tell).run(lambda point: ask(point, seed), self.points(places))
        told = [point for point, _ in found.done]
        assert told == self.points(places)[: len(told)], "other points than those asked for"
        return [result for _, result in found.done], not found.interrupted

    once = value = staticmethod(numbers)


class Capacities:
    """The capacity of a small classical network."""

    places = st.lists(st.sampled_from((5, 8)), min_size=1, max_size=3)
    loads, trials = (0.2, 0.7), 2

    def points(self, places):
        return [
            {"size": size, "patterns": max(1, round(load * size)), "trial": trial}
            for size in places for load in self.loads for trial in range(self.trials)
        ]  # fmt: skip

    def run(self, sweep, places, seed, store, ask, tell):
        how = {"trials": self.trials, "probes": 4, "seed": seed, "store": store, "tell": tell}
        patch = mock.patch.multiple(_capacity, Sweep=sweep, recall_once=lambda retrieval, point, **_: ask(point, seed))
        with patch:
            found = _capacity.capacity("power", places, self.loads, **how)
        flat = [{"recalled": r, "tried": t} for r, t in zip(found.recalled.flat, found.tried.flat, strict=True)]
        done = [one for one in flat if one["tried"] == one["tried"]]
        assert flat[: len(done)] == done, "there are holes in what was interrupted"
        return done, len(done) == len(flat)

    @staticmethod
    def once(point, seed):
        return RECALL(_capacity.Retrieval("power"), point, overlap=0.9, flips=0.0, probes=4, seed=seed)

    def value(self, point, seed):
        found = self.once(point, seed)
        return {"recalled": float(found["recalled"]), "tried": float(found["tried"])}


RECALL = _capacity.recall_once


def key(value):
    """Bit for bit: Python writes floats so that they are read back so."""
    return json.dumps(value, sort_keys=True)


@functools.cache
def through(kind, seed):
    """Of a sweep that ran through: its first line, its lines by point, its values by point."""
    subject = kind()
    with tempfile.TemporaryDirectory() as folder:
        file, every = Path(folder) / "whole", range(8) if kind is Numbers else (5, 8)
        subject.run(Sweep, every, seed, file, subject.once, lambda _: None)
        head, *lines = file.read_bytes().splitlines(keepends=True)
    points = subject.points(every)
    names = [key(point) for point in points]
    values = {name: key(subject.value(point, seed)) for name, point in zip(names, points, strict=True)}
    return head, dict(zip(names, lines, strict=True)), values


class Stores(RuleBasedStateMachine):
    """A file of a sweep, filled in parts, cut, damaged and asked again; the model is a sweep that ran through."""

    sweep, subject = Sweep, Numbers()

    def __init__(self):
        RuleBasedStateMachine.__init__(self)
        self.folder = Path(tempfile.mkdtemp())
        self.file = self.folder / "store.jsonl"

    def teardown(self):
        shutil.rmtree(self.folder)

    def has(self):
        """What the file holds."""
        return self.file.read_bytes() if self.file.exists() else b""

    def known(self, seed):
        """Points that the file has, or None where it has to be refused."""
        text, (head, lines, _) = self.has(), through(type(self.subject), seed)
        whole = [line + b"\n" for line in text.split(b"\n")[:-1]]
        if not whole:
            return set() if head.startswith(text) else None
        names = {line: name for name, line in lines.items()}
        fits = whole[0] == head and names.keys() >= set(whole[1:])
        return {names[line] for line in whole[1:]} if fits else None

    @rule(data=st.data(), seed=st.sampled_from((1, 1, 1, 2)), stop=st.sampled_from(STOPS), at=st.integers(0, 5))
    def ask(self, data, seed, stop, at):
        places = data.draw(self.subject.places)
        names = [key(point) for point in self.subject.points(places)]
        known, before = self.known(seed), self.has()
        calls, found, refused = self.run(places, seed, stop, at)
        if known is None:
            assert str(self.file) in refused, "a store of something else, or a damaged one, is used"
            assert not calls, "a store that is refused has work done for it"
            assert self.has() == before, "what is refused is changed"
            return
        new = [name for name in dict.fromkeys(names) if name not in known]
        assert calls == new[: len(calls)], "what was done is done again, or in another order"
        full = stop == "disk" and str(self.file) in refused
        assert full or not refused, f"refused: {refused}"
        kept = self.known(seed)
        assert kept is not None, "the store is damaged"
        assert kept == known | set(calls[:-1] if full else calls), "the store loses what was done"
        if found is not None:
            results, done = found
            whole = len(results) == len(names)
            assert whole if done else stop == "after" or not whole, "the end is missing"
            assert done or stop in ("before", "after"), "the end is missing"
            values = through(type(self.subject), seed)[2]
            assert list(map(key, results)) == [values[name] for name in names[: len(results)]], "other numbers"

    def run(self, places, seed, stop, at):
        """The points that were computed, what came back, and the words of a refusal."""
        calls, told, limits = [], [], contextlib.ExitStack()

        def ask(point, seed):
            limits.close()
            if stop in ("before", "error") and len(calls) == at:
                raise KeyboardInterrupt if stop == "before" else Stop
            calls.append(key(point))
            if stop == "disk" and len(calls) == at + 1:
                limits.enter_context(full_disk(self.file.stat().st_size + 10))
            return self.subject.once(point, seed)

        def tell(words):
            told.append(words)
            if stop == "after" and len(told) == at + 1:
                raise KeyboardInterrupt

        try:
            return calls, self.subject.run(self.sweep, places, seed, self.file, ask, tell), ""
        except InputError as error:
            return calls, None, str(error)
        except Stop:
            return calls, None, ""
        finally:
            limits.close()

    @rule(count=st.one_of(st.integers(1, 4), st.integers(5, 300)))
    def cut(self, count):
        text = self.has()
        self.file.write_bytes(text[: max(0, len(text) - count)])

    @rule(more=st.sampled_from(GARBAGE))
    def append(self, more):
        self.file.write_bytes(self.has() + more)

    @rule(seed=st.randoms(use_true_random=False), again=st.integers(0, 2))
    def shuffle(self, seed, again):
        head, *lines = self.has().split(b"\n")
        body, tail = lines[:-1], lines[-1:]
        body += body[:again]
        seed.shuffle(body)
        self.file.write_bytes(b"\n".join([head, *body, *tail]))

    @rule()
    def mend(self):
        """As the message of a refusal says, or by hand."""
        head, lines, _ = through(type(self.subject), 1)
        text = self.has().splitlines(keepends=True)
        good = [line for line in text if line in lines.values()]
        self.file.write_bytes(b"".join([head, *good]))


# ------------------------------------------------------------------------------- rows of a memorisation

SIZES = (2, 3, 5)
TRAIN = np.asarray([[0.0, 1.0], [1.0, 0.2], [-1.0, 0.5], [0.4, -1.0], [2.0, 2.0]])
SAMPLINGS = [_memorisation.Sampling(0.05, 0.05, 3.0, 0.1, samples=6, steps=3, seed=seed) for seed in SEEDS]
AT = _memorisation.memorisation_at


@functools.cache
def computed(size, which):
    """One row of a sweep that ran through."""
    return AT(size, TRAIN, SAMPLINGS[which])


def named(size, which):
    """A row that has no more than its settings and a number."""
    return {"size": size} | dataclasses.asdict(SAMPLINGS[which]) | {"share": (which + 1) / (size + 1)}


class Rows(RuleBasedStateMachine):
    """Rows of a memorisation, kept by a caller as lines of JSON in any order, of two settings."""

    memorisation, row = staticmethod(_memorisation.memorisation), staticmethod(named)

    def __init__(self):
        RuleBasedStateMachine.__init__(self)
        self.lines = []

    @rule(
        sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=4), which=st.integers(0, 1), stop=st.integers(0, 6)
    )
    def ask(self, sizes, which, stop):
        calls, before = [], [json.loads(line) for line in self.lines]

        def at(size, *_):
            if len(calls) == stop:
                raise KeyboardInterrupt
            calls.append(size)
            return dict(self.row(size, which))

        found = None
        with mock.patch.object(_memorisation, "memorisation_at", at), contextlib.suppress(KeyboardInterrupt):
            found = self.memorisation(
                TRAIN, sizes, SAMPLINGS[which], rows=before, tell=lambda new: self.lines.append(json.dumps(new))
            )
        there = {one["size"] for one in before if one["seed"] == SAMPLINGS[which].seed}
        wanted = [size for size in dict.fromkeys(sizes) if size not in there]
        assert calls == wanted[: len(calls)], "what was done is done again"
        assert [json.loads(line)["size"] for line in self.lines[len(before) :]] == calls, "what was done is not told"
        if found is None:
            assert len(wanted) > stop, "an interruption of nothing"
            return
        assert calls == wanted, "the end is missing"
        assert list(map(key, found.rows)) == [key(self.row(size, which)) for size in sizes], "other numbers"

    @rule(seed=st.randoms(use_true_random=False), lost=st.integers(0, 2))
    def shuffle(self, seed, lost):
        seed.shuffle(self.lines)
        self.lines = self.lines[lost:]
