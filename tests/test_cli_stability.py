"""`dynamem stability`: landscapes of one's own systems, the diffusion of small data, pages, and what is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem.cli import main
from dynamem.cli._stability import MOST_POINTS, document
from dynamem.stability._landscape import _corners
from dynamem.stability._study import Study


MODELS = """
import diffrax as dfx
import jax.numpy as jnp
import dynamem as dm

def wells(t, x):
    return jnp.sum((x**2 - 1) ** 2) / 4

def descent(t, x, args):
    return x - x**3

def away(t, x, args):
    return 1 + x**2

def broken(t, x, args):
    return jnp.concatenate([x[:1] / 0.0 * jnp.nan, x[1:]])

states = jnp.asarray([[0.5, -0.3], [1.0, 2.0], [-1.0, -0.7], [-0.2, 0.4]])
double_well = dm.System(wells, dfx.ODETerm(descent), states, 0.0, 12.0)
nowhere = dm.System(wells, dfx.ODETerm(away), states, 0.0, 0.1)
undefined = dm.System(wells, dfx.ODETerm(broken), states, 0.0, 1.0)
"""


@pytest.fixture
def study(tmp_path, monkeypatch, capsys):
    """Run the command in a folder with `models`; exit code, standard output, standard error, and the JSON."""
    (tmp_path / "stability_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)

    def run(*args):
        code = main(["stability", *args, "--json", "found.json", "--html", "found.html"])
        out, err = capsys.readouterr()
        found = json.loads((tmp_path / "found.json").read_text()) if (tmp_path / "found.json").exists() else None
        return code, out, err, found

    return run


def test_the_double_well_in_two_coordinates(study, tmp_path):
    code, out, _, found = study("stability_models:double_well", "--states", "64")
    assert (code, found["schema"], found["errors"]) == (0, "dynamem.stability/1", [])
    (one,) = found["landscapes"]
    assert sorted(point["index"] for point in one["points"]["points"]) == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert one["enclosures"]["status"] == "certified"
    assert len(one["enclosures"]["points"]) == 9
    assert "9 boxes with exactly one fixed point each, and no other" in out
    places = [np.asarray(point["x"]) for point in one["points"]["points"] if point["stable"]]
    np.testing.assert_allclose(np.abs(places), 1, atol=1e-9)
    counts = np.bincount(one["basins"]["labels"], minlength=4)
    starts = np.sign(one["starts"])
    assert sorted(counts) == sorted(np.sum(np.all(starts == np.sign(place), axis=1)) for place in places)
    assert all(1.0 <= shock["size"] < 1.001 for shock in one["shocks"].values())
    assert all(measure["reactivity"] == pytest.approx(-2) for measure in one["measures"].values())
    assert len(one["exponents"]["values"]) == 2
    _assert_quadrants(one["plane"], np.asarray([point["x"] for point in one["points"]["points"] if point["stable"]]))
    page = (tmp_path / "found.html").read_text()
    assert "9 fixed points in the plane" in page
    assert "Each colour" in page
    assert "stored pattern" not in page
    assert "mathdefault" not in page


def _assert_quadrants(plane, stable):
    """Every state of the grid ends at the well of its quadrant."""
    labels, a, b = (np.asarray(plane[name]) for name in ("labels", "a", "b"))
    pairs = np.stack(np.meshgrid(plane["u"], plane["v"]), axis=-1)
    np.testing.assert_array_equal(np.sign(stable[labels]), np.sign(a + pairs @ b.T))


def test_a_map_needs_three_points_that_span_a_plane():
    line = np.asarray([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    assert _corners(line, 0) is None
    assert _corners(line[:2], 0) is None
    np.testing.assert_array_equal(_corners(np.concatenate([line, [[0, 3.0, 0]]]), 1), [line[1], line[0], [0, 3, 0]])


def test_levels_of_a_tree_with_many_points_have_none_in_json():
    xi = np.random.default_rng(0).normal(size=(MOST_POINTS + 6, 2))
    tree = dm.memory_tree(dm.Empirical(jnp.asarray(xi)), levels=12, refine=3)
    found = Study("xi", (), None, tree, {}, {}, ())
    points = document(found, {})["tree"]["points"]
    assert [one is None for one in points] == [count > MOST_POINTS for count in tree.counts]
    assert points[0] is None
    np.testing.assert_array_equal(points[-1], tree.points[-1])


def test_no_fixed_point_is_an_answer(study):
    code, out, _, found = study("stability_models:nowhere", "--states", "8")
    (one,) = found["landscapes"]
    assert (code, one["points"]["points"]) == (0, [])
    assert (one["enclosures"]["status"], one["enclosures"]["points"]) == ("certified", [])
    assert "least" in one["points"]["reason"]
    assert one["points"]["reason"][:20] in out


def test_what_is_undefined_keeps_the_other_parts(study):
    code, _, err, found = study("stability_models:undefined", "--states", "8")
    (one,) = found["landscapes"]
    assert code == 0
    assert one["enclosures"]["status"] in ("failed", "undecided")
    assert one["points"] is None or not one["points"]["points"]
    assert len(found["errors"]) == err.count("stability_models:undefined")


@pytest.mark.long
def test_the_diffusion_of_two_patterns(study, tmp_path):
    np.save(tmp_path / "two.npy", np.asarray([[1.0, 0.0], [-1.0, 0.0]]))
    code, out, _, found = study("diffusion", "--data", "two.npy")
    assert code == 0
    assert found["tree"]["breaking"]["sigma"] == pytest.approx(1, abs=1e-8)
    times = {one["name"]: one["s"] for one in found["times"]["VE"]["times"]}
    assert times["curvature"] == pytest.approx(1, abs=1e-8)
    assert "becomes unstable at s = 1" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--states", "0"], "states=0"),
        (["--budget", "0"], "budget=0.0"),
        (["--at", "nan"], "at=nan"),
        (["--store", "file"], "store='file'"),
        (["log_sum_ex"], "did you mean 'log_sum_exp'"),
        (["stability_models:nothing"], "has no attribute 'nothing'"),
    ],
)
def test_what_is_refused(study, args, words):
    code, _, err, found = study(*args)
    assert (code, found) == (2, None)
    assert words in err
    assert err.count("\n") == 1


def test_ctrl_c_keeps_what_there_is(study, monkeypatch):
    from dynamem.stability import _study

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_study, "memory_tree", stop)
    code, out, err, found = study("stability_models:nowhere", "diffusion", "--states", "8")
    assert (code, found["interrupted"], found["tree"], found["times"]) == (130, True, None, {})
    assert found["landscapes"][0]["enclosures"]["status"] == "certified"
    assert "interrupted" in err
    assert "stability_models:nowhere" in out
