"""Long-lived parts, used in any order: a controller, solves in legs, stores of sweeps, folders of certificates."""

import contextlib
import dataclasses
import json
import os
import re
from pathlib import Path
from unittest import mock

import equinox as eqx
import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import dynamem as dm
from dynamem import _output
from dynamem._errors import InputError
from dynamem.rigour import _document, _verify
from dynamem.solvers import _controller
from dynamem.stability import _sweep
from dynamem.stability import memorisation as MEMORISATION
from tests.stateful_certificates import Folder
from tests.stateful_machines import Legs, Steps
from tests.stateful_stores import Capacities, Rows, Stores, computed


def run(machine, examples, steps, **how):
    quiet = {"suppress_health_check": list(HealthCheck), "deadline": None, "database": None}
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=steps, **quiet, **how)
    )


def caught(machine, words, examples, steps, **twin):
    """The machine fails, for this reason, on a twin with one defect."""
    how = {"derandomize": True, "phases": [Phase.generate], "report_multiple_bugs": False}
    with pytest.raises(AssertionError, match=words):
        run(type("Twin", (machine,), twin), examples, steps, **how)


Small = type("Small", (Stores,), {"subject": Capacities()})
Real = type("Real", (Rows,), {"row": staticmethod(computed)})
Both = type("Both", (Legs,), {"kinds": ("constant", "pid")})
MACHINES = {
    "a controller step by step": (Steps, 10, 25), "solves in legs": (Legs, 10, 8),
    "stores of numbers": (Stores, 40, 20), "stores of capacities": (Small, 15, 15),
    "rows of a memorisation": (Rows, 40, 12), "a folder of certificates": (Folder, 10, 15),
}  # fmt: skip
LONG = {
    "a controller step by step": (Steps, 200, 40), "solves in legs": (Both, 60, 10),
    "stores of numbers": (Stores, 300, 40), "stores of capacities": (Small, 200, 30),
    "rows of a memorisation": (Real, 60, 12), "a folder of certificates": (Folder, 80, 25),
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_in_any_order(name):
    run(*MACHINES[name])


@pytest.mark.long
@pytest.mark.parametrize("name", LONG)
def test_in_any_order_for_long(name):
    run(*LONG[name])


# ------------------------------------------------------------------------------- twins of the controller


class TakesRises(dm.LyapunovController):
    def _rose(self, was, value, size):
        return jnp.asarray(False)


class TakesWhatIsNoNumber(dm.LyapunovController):
    def _rose(self, was, value, size):
        return value > was.value + 1e-9


class Strict(dm.LyapunovController):
    """Rejects an energy that stays as it is."""

    def _rose(self, was, value, size):
        return ~(value < was.value)


class FromTheStart(dm.LyapunovController):
    """Compares with the energy at the start."""

    def adapt_step_size(self, *call):
        *found, state, result = dm.LyapunovController.adapt_step_size(self, *call)
        return *found, eqx.tree_at(lambda one: one.value, state, call[-1].value), result


class WrongClock(dm.LyapunovController):
    """Reads the energy forward where time runs back."""

    def wrap(self, direction):
        return eqx.tree_at(lambda one: one.controller, self, self.controller.wrap(direction))


class NoWayBack(dm.LyapunovController):
    """Does not come back to the grid."""

    def adapt_step_size(self, *call):
        keep, step0, step1, *rest = dm.LyapunovController.adapt_step_size(self, *call)
        return keep, step0, jnp.where(keep, call[1] + call[-1].planned, step1), *rest


class Impatient(dm.LyapunovController):
    """Tries what it rejected once more."""

    def adapt_step_size(self, *call):
        keep, step0, step1, *rest = dm.LyapunovController.adapt_step_size(self, *call)
        return keep, step0, jnp.where(keep, step1, call[1]), *rest


class Headstrong(dm.LyapunovController):
    """Takes what the wrapped controller rejects."""

    def adapt_step_size(self, *call):
        keep, step0, step1, *rest = dm.LyapunovController.adapt_step_size(self, *call)
        falls = ~self._rose(call[-1], *self._energy(call[1], call[3]))
        return keep | falls, jnp.where(falls, call[1], step0), jnp.where(falls, 2 * call[1] - call[0], step1), *rest


class AnyStep(dm.LyapunovController):
    """Goes on with steps that the clock cannot tell apart."""

    def adapt_step_size(self, *call):
        *found, result = dm.LyapunovController.adapt_step_size(self, *call)
        return *found, eqx.tree_at(lambda one: one._value, result, jnp.zeros_like(result._value))


CONTROLLERS = {
    TakesRises: ("pid", "a rise was accepted"),
    TakesWhatIsNoNumber: ("constant", "a rise was accepted"),
    Strict: ("constant", "nobody objects"),
    FromTheStart: ("constant", "a rise was accepted"),
    WrongClock: ("constant", "a rise was accepted|nobody objects"),
    NoWayBack: ("constant", "grid is passed over|decision is changed"),
    Impatient: ("constant", "no shorter step"),
    Headstrong: ("pid", "had rejected this|decision is changed"),
    AnyStep: ("constant", "no shorter step is left"),
}


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda one: one.__name__)
def test_broken_controllers_are_caught(controller):
    kind, words = CONTROLLERS[controller]
    caught(Steps, words, 100, 25, controller=controller, kinds=(kind,))


def asked_in_secret(self, *call):
    """Of a controller that keeps the energy in itself, and not in its state."""
    state = call[-1] if self.hidden is None else self.hidden
    found = Steps.asked(self, *call[:-1], state)
    self.hidden = found[4]
    return *found[:4], eqx.tree_at(lambda one: one.value, found[4], jnp.asarray(1e9)), found[5]


def built_anew(self):
    self.hidden = None
    Steps.build(self)


def test_a_controller_that_does_not_survive_an_interruption_is_caught():
    caught(
        Steps,
        "a rise was accepted|changes the run",
        60,
        25,
        asked=asked_in_secret,
        build=built_anew,
        kinds=("constant",),
    )


class Counts(dm.LyapunovController):
    """Takes what rounding leaves of the way to a time for a step, as is patched below."""


@pytest.mark.parametrize(
    ("controller", "patch", "words"),
    [
        pytest.param(TakesRises, {}, "the energy rises", marks=pytest.mark.long),
        (Counts, {"ROUNDING": 0.0}, "rises nowhere is changed"),
    ],
    ids=["takes rises", "one step more"],
)
def test_broken_solves_in_legs_are_caught(controller, patch, words):
    with mock.patch.multiple(_controller, **patch) if patch else contextlib.nullcontext():
        caught(Legs, words, 20, 10, controller=controller)


# ------------------------------------------------------------------------------- twins of the stores


class Repeats(_sweep.Sweep):
    """Does all again, in an order of its own."""

    def _opened(self):
        _sweep.Sweep._opened(self)
        return {}


class LosesTheLast(_sweep.Sweep):
    """Does not write the last point."""

    def run(self, function, points):
        wanted = list(points)
        found = _sweep.Sweep.run(self, function, wanted[:-1])
        more = _sweep.Sweep.run(dataclasses.replace(self, store=None), function, wanted[-1:] * (not found.interrupted))
        return _sweep.Swept(found.done + more.done, found.interrupted or more.interrupted)


class TakesAny(_sweep.Sweep):
    """Does not look whose the file is."""

    def _found(self, file, header, lines):
        header = json.loads(lines[0]) if lines[0].startswith('{"fingerprint') else header
        return _sweep.Sweep._found(self, file, header, lines)


class KeepsTornLines(_sweep.Sweep):
    """Writes on where a crash ended."""

    def _opened(self):
        with mock.patch.object(os, "truncate"):
            return _sweep.Sweep._opened(self)


class Forgives(_sweep.Sweep):
    """Passes over lines that are damaged."""

    def _found(self, file, header, lines):
        found = {}
        for line in lines[1:]:
            with contextlib.suppress(ValueError):
                found |= _sweep.Sweep._found(self, file, header, [lines[0], line])
        return found or _sweep.Sweep._found(self, file, header, lines[:1])


class Rounds(_sweep.Sweep):
    """Keeps six digits."""

    def _append(self, text):
        short = re.sub(r"\d+\.\d{6}\d+", lambda found: f"{float(found[0]):.6g}", text)
        _sweep.Sweep._append(self, short)


class TrustsTheDisk(_sweep.Sweep):
    """Does not look how much was written."""

    def _append(self, text):
        with Path(self.store).open("ab", buffering=0) as stream:
            stream.write(f"{text}\n".encode())


TWINS = {
    Repeats: "done again", LosesTheLast: "loses what was done|done again", TakesAny: "is used",
    KeepsTornLines: "is damaged", Forgives: "is used", Rounds: "is damaged", TrustsTheDisk: "is damaged",
}  # fmt: skip


@pytest.mark.parametrize("sweep", TWINS, ids=lambda one: one.__name__)
def test_broken_stores_are_caught(sweep):
    caught(Stores, TWINS[sweep], 150, 20, sweep=sweep)


@pytest.mark.parametrize("sweep", [Repeats, TakesAny], ids=lambda one: one.__name__)
def test_broken_stores_of_capacities_are_caught(sweep):
    caught(Small, TWINS[sweep], 150, 20, sweep=sweep)


def without_rows(*call, rows, **how):
    return MEMORISATION(*call, **how)


def of_any_setting(train, sizes, sampling, *, rows, **how):
    return MEMORISATION(train, sizes, sampling, rows=[row | {"seed": sampling.seed} for row in rows], **how)


@pytest.mark.parametrize("twin", [without_rows, of_any_setting], ids=lambda one: one.__name__)
def test_broken_memorisations_are_caught(twin):
    caught(Rows, "done again|end is missing|other numbers", 60, 12, memorisation=staticmethod(twin))


# ------------------------------------------------------------------------------- twins of the verifier


def believed(self, here, word):
    return ""


def in_the_middle(self):
    """Looks at the lower quarter of each side alone."""
    small = [(lo, lo + (hi - lo) / 4) for lo, hi in self.file.box]
    self.file = self.file._replace(box=small)
    good, reason = RUN(self)
    return good, reason


def few_parts(self):
    good, reason = RUN(self)
    return good or "not decided" in reason, reason


def no_hash(body):
    return body["sha256"]


@contextlib.contextmanager
def in_place(argument, path):
    """Writes over what is there."""
    try:
        yield path
    except OSError as error:
        raise InputError(argument) from error


RUN = _verify._Replay.run
BROKEN = {
    "believes every part": (_verify._Replay, "_part", believed, ("box", "other program")),
    "ignores the box": (_verify._Replay, "run", in_the_middle, ("box", "strict")),
    "misses parts": (_verify._Replay, "run", few_parts, ("leaf",)),
    "ignores the hash": (_document, "digest", no_hash, ("leaves",)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_verifiers_are_caught(name):
    *where, forged = BROKEN[name]
    with mock.patch.object(*where):
        caught(Folder, "tampered with replays|another region|another claim", 60, 10, forged=forged, fail_to_write=None)


def test_files_that_are_written_in_place_are_caught():
    with mock.patch.object(_output, "staged", in_place):
        caught(Folder, "lost, changed or left over", 60, 15)
