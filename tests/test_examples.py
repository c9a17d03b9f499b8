"""Every example runs, and its numbers come out."""

import importlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem.cli import main as dynamem_command


FOLDER = Path(__file__).resolve().parents[1] / "examples"
TESTED = {
    "compare_solvers", "optimise_schedule", "own_memory", "own_diffusion", "two_schedules", "train_denoiser",
    "price_of_stability", "own_landscape", "code_of_others",
}  # fmt: skip


def example(name):
    return importlib.import_module(f"examples.{name}")


def test_every_example_is_tested():
    assert {path.stem for path in FOLDER.glob("*.py")} == TESTED


def test_own_memory_descends_in_short_steps_only():
    module = example("own_memory")
    found = module.main()
    assert {question: verdict.status for question, verdict in found.items()} == {
        "adaptive steps": "holds",
        "long Euler steps": "broken",
        "search": "holds",
    }
    witness = found["long Euler steps"].witness
    assert witness.replay(module.energy) == pytest.approx(witness.change)


def test_own_memory_is_a_system_of_the_command_line(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(FOLDER)
    monkeypatch.delitem(sys.modules, "own_memory", raising=False)
    file = tmp_path / "audit.json"
    assert dynamem_command(["audit", "--system", "own_memory:system", "--json", str(file)]) == 0
    sys.modules.pop("own_memory", None)
    capsys.readouterr()
    rows = json.loads(file.read_text())["rows"]
    assert {row["system"] for row in rows} == {"own_memory:system"}
    assert {row["verdict"] for row in rows if row["solver"] in ("Tsit5", None)} == {"holds"}
    assert [row["verdict"] for row in rows if row["solver"] == "Euler" and row["steps"] == 10] == ["broken"]


@pytest.mark.long
def test_own_diffusion_separates_the_energies():
    module = example("own_diffusion")
    found = module.main()
    assert {question: verdict.status for question, verdict in found.items()} == {
        "density along the flow": "broken",
        "V along the flow": "holds",
        "V, by search": "holds",
        "V + D s^2/2 in mean": "holds",
    }


def test_own_diffusion_writes_what_the_library_writes():
    module = example("own_diffusion")
    path = dm.DiffusionPath(dm.EDM(), dm.Empirical(jnp.asarray(module.PATTERNS)))
    y, lam = jnp.asarray(module.NOISE[0]), jnp.asarray(0.3)
    np.testing.assert_allclose(module.free(lam, y), dm.FreeEnergy(path)(lam, y), rtol=1e-12)
    np.testing.assert_allclose(module.free_churn(lam, y), dm.FreeEnergy(path, 1.0)(lam, y), rtol=1e-12)
    np.testing.assert_allclose(module.drift(lam, y, None), dm.ProbabilityFlow(path).drift(lam, y, None), rtol=1e-9)
    np.testing.assert_allclose(module.reverse_drift(lam, y, None), dm.ReverseSDE(path).drift(lam, y, None), rtol=1e-9)
    own, other = lam + 1.0, dm.DensityEnergy(path)
    change = module.density(own, y) - module.density(lam, y)
    np.testing.assert_allclose(change, other(own, y) - other(lam, y), rtol=1e-11)


@pytest.mark.long
def test_two_schedules_break_where_their_thresholds_say(tmp_path, capsys):
    module = example("two_schedules")
    file = tmp_path / "two_schedules.svg"
    onset = module.main(file)
    # While the noise covers both clusters tr C is the data's own: CENTRE^2 + RADIUS^2 = D c, c = s^2/(1 + s^2) or s^2.
    spread = (module.CENTRE**2 + module.RADIUS**2) / 2
    assert onset["VP"] == pytest.approx(np.sqrt(spread / (1 - spread)), rel=0.05)
    assert onset["VE"] == pytest.approx(np.sqrt(spread), rel=0.05)
    assert onset["VP"] > 5 * onset["VE"]
    assert capsys.readouterr().out.count("V falls: True") == 2
    assert ET.parse(file).getroot().tag.endswith("svg")


def test_the_committed_picture_is_small():
    picture = FOLDER / "two_schedules.svg"
    assert picture.stat().st_size < 150_000
    assert ET.parse(picture).getroot().tag.endswith("svg")


def test_a_denoiser_is_trained_and_goes_on(tmp_path, capsys):
    module = example("train_denoiser")
    patterns, held_out = module.digits()
    assert (patterns.shape, held_out.shape) == ((1497, 64), (300, 64))
    checkpoint, weights = str(tmp_path / "run.npz"), str(tmp_path / "weights.npz")
    first = module.main(["mlp", "--steps", "20", "--every", "10", "--checkpoint", checkpoint])
    then = module.main(["mlp", "--steps", "40", "--every", "10", "--checkpoint", checkpoint, "--export", weights])
    assert (first.step, then.step) == (20, 40)
    assert 0.9 < then.held_out < first.held_out < 1.2  # the mean of the data alone has 1
    assert type(dm.load_denoiser(weights)) is dm.MLPDenoiser
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == ["step 10", "step 20", "step 30", "step 40"]


@pytest.mark.long
def test_the_price_of_stability(monkeypatch, tmp_path, capsys):
    """Networks that are hardly trained: what holds by construction holds, and what is learned is not there yet."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "train_denoiser", raising=False)
    kinds = ["mlp", "energy", "concave"]
    rows = example("price_of_stability").main(
        ["--folder", str(tmp_path), "--share", "0.002", "--count", "4", "--kinds", *kinds]
    )
    sys.modules.pop("train_denoiser", None)
    assert list(rows) == ["exact", *kinds]
    assert rows["exact"].rises == rows["concave"].own_rises == 0
    assert rows["exact"].margin == 1
    assert max(rows[name].asymmetry for name in ("exact", "energy", "concave")) < 1e-6 < rows["mlp"].asymmetry
    assert np.isnan(rows["mlp"].own_rises)
    assert rows["energy"].loss < rows["exact"].loss  # the exact denoiser knows no other digits than its own
    assert all(np.isfinite(row.nats) for row in rows.values())
    assert capsys.readouterr().out.count("\n| ") == 4


@pytest.mark.long
def test_solvers_of_a_problem_of_ones_own():
    found = example("compare_solvers").main()
    rises = {}
    for row in found.rows:
        rises[row.method] = rises.get(row.method, 0) + (row.judged.rises if row.judged else 0)
    assert rises["Euler"] > 0 == rises["DiscreteGradient"] == rises["Tsit5, watched"]
    orders = {one.method: one.order for one in found.orders}
    assert orders["DiscreteGradient"] == pytest.approx(2, abs=0.15)
    limits = {one.method: one for one in found.limits}
    assert 0.3 < limits["Euler"].safe < limits["Euler"].unsafe < 1.01 * limits["Euler"].safe
    assert np.isinf(limits["DiscreteGradient"].unsafe)


@pytest.mark.long
def test_ten_steps_put_where_they_do_most(monkeypatch, tmp_path):
    example_of = example("optimise_schedule")
    monkeypatch.setattr(example_of, "SEEDS", (0,))
    (found,) = example_of.main(tmp_path / "picture.svg", rounds=100)
    assert (tmp_path / "picture.svg").read_text().count("<path") > 20
    best = found.pop("optimised")
    assert all(best.held_error < 0.97 * one.held_error for one in found.values())
    assert best.rises == best.held_rises == 0


def test_own_landscape_is_certain_and_has_three_folds(tmp_path):
    found = example("own_landscape").main(tmp_path / "landscape.svg", states=200, resolution=12)
    kinds = [point.kind for point in found.points.points]
    assert (kinds.count("memory"), kinds.count("saddle"), kinds.count("repeller")) == (3, 3, 1)
    assert found.certain.status == "certified"
    near = np.linalg.norm(found.points.x[:, None] - found.certain.x[None], axis=2)
    assert near.shape == (7, 7)
    assert near.min(axis=1).max() < 1e-9
    assert sum(share.count for share in found.shares.shares) == 200
    folds = found.diagram.of("fold")
    np.testing.assert_allclose([one.p for one in folds], [1.860486, 2.139391, 3.422228], atol=1e-6)
    assert len(found.diagram.bifurcations) == 3
    assert ET.parse(tmp_path / "landscape.svg").getroot().tag.endswith("svg")


def test_code_of_others_says_what_is_missing(monkeypatch, capsys):
    """Whatever is installed: none of it can be imported here."""
    others = example("code_of_others")
    peers = ["hamux", "diffusers", "torchdiffeq", "torchsde"]
    for peer in peers:
        monkeypatch.setitem(sys.modules, peer, None)
    assert others.main() == [(peer, "not installed: pip install 'dynamem[peers]'") for peer in peers]
    assert capsys.readouterr().out.count("\n") == len(peers)


def test_the_properties_of_a_project_hold_and_its_slip_is_found():
    """In a process of its own, as its user would run it, with promotion as JAX has it."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "JAX_NUMPY"))}
    asked = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(asked, cwd=FOLDER / "tested_project", env=plain, capture_output=True, text=True, check=False)
    assert "10 passed" in done.stdout, done.stdout + done.stderr
