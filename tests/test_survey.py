"""The survey's table: what is measured of a field, on fields whose answer is known, and the command."""

import dataclasses
import json

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import dynamem as dm
from dynamem.catalog import DataSet
from dynamem.cli import main
from dynamem.lyapunov import dynamics_of
from dynamem.survey import survey_table
from dynamem.survey._column import Column, Question, column_of
from dynamem.survey._field import asymmetry, reach, residual, safe_step, work
from dynamem.survey._properties import Bench, attractors, discrete, domain, guarantees, parametrised, tractable


KEY = jr.key(0)
XS = np.random.default_rng(3).normal(size=(6, 2))
TS = np.zeros(6)


class Linear(eqx.Module):
    """``-A x``, and the energy ``x.S x/2``."""

    a: jax.Array = eqx.field(converter=jnp.asarray)
    s: jax.Array = eqx.field(converter=jnp.asarray)

    def field(self, t, x, args):
        return -self.a @ x

    def energy(self, t, x):
        return 0.5 * (x @ (self.s @ x))


DESCENT = Linear([[2.0, 0.5], [0.5, 1.0]], [[2.0, 0.5], [0.5, 1.0]])
TURNING = Linear([[0.0, 1.0], [-1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])


def flow_of(linear):
    return dynamics_of(dfx.ODETerm(linear.field))


def column(linear, span=(0.0, 20.0), energy=True):
    flow, states = flow_of(linear), jnp.asarray(XS)
    asked = (Question("own", linear.energy, flow, states, span),)
    return Column("sample", "a sample", flow, linear.energy if energy else None, asked, None, states, span, told=False)


def test_a_gradient_has_a_symmetric_jacobian_and_a_rotation_an_antisymmetric_one():
    assert asymmetry(flow_of(DESCENT), TS, XS, KEY) < 1e-14
    assert asymmetry(flow_of(TURNING), TS, XS, KEY) == pytest.approx(2.0)


def test_the_residual_is_zero_for_the_descent_of_the_energy_only():
    assert residual(flow_of(DESCENT), DESCENT.energy, TS, XS) < 1e-14
    assert residual(flow_of(TURNING), TURNING.energy, TS, XS) == pytest.approx(2**0.5)


def test_work_around_a_loop_is_twice_the_area_for_a_rotation():
    corners = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    edges, _, doubt = work(flow_of(TURNING), 0.0, corners)
    assert abs(edges.sum()) == pytest.approx(1.0)  # Green: curl 2 times the area 1/2
    assert doubt < 1e-12
    edges, _, _ = work(flow_of(DESCENT), 0.0, corners)
    assert abs(edges.sum()) < 1e-14
    assert edges[0, 0] == pytest.approx(DESCENT.energy(0.0, corners[0, 1]))


@pytest.mark.parametrize("rate", [0.5, 1.0, 30.0])
def test_the_largest_safe_euler_step_is_two_over_the_curvature(rate):
    """|1 - h L| <= 1 is the stability of explicit Euler on x' = -L x."""
    one = Linear(rate * np.eye(2), np.eye(2))
    safe, first = safe_step(flow_of(one), one.energy, TS, XS)
    assert safe <= 2 / rate < first
    assert first - safe < 0.01 * safe


def test_reach_finds_where_a_field_ends():
    def ends_at_three(t, x, args):
        return -x / jnp.where(t < 3.0, 1.0, jnp.nan)

    flow = dynamics_of(dfx.ODETerm(ends_at_three))
    assert 1.7 < reach(flow, 1.0, 1.0, XS[0]) < 2.0
    assert reach(flow, 1.0, -1.0, XS[0]) == float("inf")


def test_cells_of_a_memory_and_of_a_rotation():
    good, bad = (Bench(column(one), KEY) for one in (DESCENT, TURNING))
    for question in (parametrised, discrete, domain, attractors, tractable, guarantees):
        assert question(good).verdict == "yes", question.__name__
    assert parametrised(bad).verdict == "no"
    assert discrete(bad).verdict == "no"
    assert attractors(bad).verdict == "no"
    assert tractable(bad).verdict == "no"


def test_a_field_without_an_energy_is_told_from_a_gradient():
    assert parametrised(Bench(column(DESCENT, energy=False), KEY)).verdict == "yes"
    assert tractable(Bench(column(DESCENT, energy=False), KEY)).verdict == "yes"
    assert parametrised(Bench(column(TURNING, energy=False), KEY)).verdict == "no"
    assert tractable(Bench(column(TURNING, energy=False), KEY)).verdict == "no"


def test_what_is_not_finite_or_not_known_is_no_answer():
    """A Jacobian of NaN is no gradient field, a rough integral no value, a failed check no broken guarantee."""

    def bent(t, x, args):  # a rotation; the derivative of the square root is 0 times infinity
        return jnp.stack([x[1], -x[0]]) * (1 + jnp.sqrt(jnp.maximum(-1.0 - x @ x, 0)))

    def rough(t, x, args):  # a rotation too fine for the rules
        return jnp.stack([x[1], -x[0]]) * jnp.sin(2000 * x[0]) * jnp.cos(3000 * x[1])

    made = column(TURNING, span=(0.0, 1.0), energy=False)
    assert parametrised(Bench(dataclasses.replace(made, flow=dynamics_of(dfx.ODETerm(bent))), KEY)).verdict is None
    bench = Bench(made, KEY)
    bench.column = dataclasses.replace(made, flow=dynamics_of(dfx.ODETerm(rough)))
    assert tractable(bench).verdict is None
    asked = (Question("own", lambda t, x: jnp.nan * x[0], made.flow, made.states, made.span),)
    assert guarantees(Bench(dataclasses.replace(made, questions=asked), KEY)).verdict is None
    assert discrete(Bench(dataclasses.replace(made, questions=asked), KEY)).verdict is None


def patterns(tmp_path):
    file = tmp_path / "xi.npy"
    np.save(file, np.random.default_rng(1).normal(size=(5, 3, 2)))
    return file


def table_of(tmp_path, *systems):
    """The JSON and the page of a table on few patterns."""
    outputs = {"--json": tmp_path / "t.json", "--html": tmp_path / "t.html"}
    words = [str(word) for pair in outputs.items() for word in pair]
    assert main(["table", *systems, "--data", str(patterns(tmp_path)), "--states", "4", *words]) == 0
    found = json.loads(outputs["--json"].read_text())
    return found, {row["property"]: row["cells"] for row in found["rows"]}, outputs["--html"].read_text()


def test_the_command_prints_the_table_and_writes_both_files(tmp_path, capsys):
    found, rows, page = table_of(tmp_path, "log_sum_exp")
    text = capsys.readouterr().out
    assert found["schema"] == "dynamem.table/1"
    assert list(found["systems"]) == ["log_sum_exp"]
    assert list(rows) == [
        "parametrises", "continuous update", "discrete update", "valid time domain", "fixed-point attractors",
        "tractable energy", "Lyapunov guarantee", "undoes corruption",
    ]  # fmt: skip
    assert all(name in text for name in ("parametrises", "log_sum_exp"))
    assert rows["Lyapunov guarantee"]["log_sum_exp"]["verdict"] == "yes"
    step = rows["discrete update"]["log_sum_exp"]["evidence"]
    assert 1.99 < step["safe"] <= step["first_rise"]  # an Euler step of up to 2 is safe at every beta
    assert "undoes corruption" in page
    assert "<script" not in page


@pytest.mark.long
def test_a_diffusion_has_a_column_for_each_of_its_energies(tmp_path):
    _, rows, page = table_of(tmp_path, "probability_flow/VE", "krotov_hopfield")
    energies = rows["Lyapunov guarantee"]["probability_flow/VE"]["evidence"]
    assert energies["free"]["status"] == "holds"  # dV/dlam <= 0 for every data set
    assert energies["hopfield"]["status"] == "broken"  # and -log Z never falls
    assert rows["parametrises"]["krotov_hopfield"]["verdict"] == "yes"
    assert "gaussian, told twice the noise" in page


@pytest.mark.long
def test_the_learned_denoiser_has_no_energy(tmp_path, capsys):
    file = tmp_path / "t.json"
    assert main(["table", "learned", "--states", "4", "--json", str(file)]) == 0
    cells = {row["property"]: row["cells"]["learned"] for row in json.loads(file.read_text())["rows"]}
    assert cells["parametrises"]["verdict"] == cells["tractable energy"]["verdict"] == "no"
    assert cells["Lyapunov guarantee"]["evidence"]["own free energy, tracked"]["status"] == "holds"
    assert main(["table", "learned", "--data", str(patterns(tmp_path))]) == 2
    assert "trained on the digits" in capsys.readouterr().err


def test_a_system_of_the_users_that_fails_has_cells_that_say_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_survey.py").write_text(
        "import diffrax, jax.numpy as jnp\nimport dynamem as dm\n"
        "def up(t, x, args):\n    return x * x * jnp.inf\n"
        "system = dm.System(lambda t, x: x @ x, diffrax.ODETerm(up), jnp.ones((2, 2)), 0.0, 1.0)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["table", "mine_survey:system", "--json", str(tmp_path / "t.json")]) == 0
    found = json.loads((tmp_path / "t.json").read_text())
    assert all(row["cells"]["mine_survey:system"]["text"].startswith("failed") for row in found["rows"])
    assert "finite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["log_sum_ex"], "did you mean 'log_sum_exp'"),
        (["log_sum_exp", "--states", "0"], "states=0"),
        (["log_sum_exp", "--seed", "-1"], "seed=-1"),
        (["log_sum_exp", "--html", "/"], "is a folder"),
    ],
)
def test_what_cannot_be_used_is_refused_first(words, message, capsys):
    assert main(["table", *words]) == 2
    assert message in capsys.readouterr().err


def test_memories_of_a_system_must_fit_its_states():
    linear = DESCENT
    with pytest.raises(ValueError, match="memories"):
        dm.System(linear.energy, dfx.ODETerm(linear.field), jnp.ones((2, 2)), 0.0, 1.0, jnp.ones((2, 3)))


@pytest.mark.long
def test_a_noisy_column_is_judged_in_mean():
    data = DataSet("few", np.random.default_rng(0).normal(size=(3, 2)), None)
    bench = Bench(column_of("reverse_sde/VE", data, 8, KEY), KEY)
    cell = guarantees(bench)
    assert cell.evidence["free_churn"]["status"] in ("holds", "undecided")  # V + D s^2/2 falls in mean
    assert cell.evidence["hopfield"]["status"] == "broken"
    assert parametrised(bench).verdict == "partly"


@pytest.mark.long
def test_the_same_seed_gives_the_same_table():
    data = DataSet("few", np.random.default_rng(0).normal(size=(4, 2)), None)
    first, second = (survey_table(["log_sum_exp"], data, states=3, seed=5, progress=lambda *_: None) for _ in range(2))
    assert [row.cells["log_sum_exp"].text for row in first.rows] == [
        row.cells["log_sum_exp"].text for row in second.rows
    ]
