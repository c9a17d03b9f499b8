"""`dynamem certify` and `dynamem verify`: verdicts, files and exit codes."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dynamem import rigour
from dynamem.cli import main


MODELS = """
import diffrax as dfx
import jax.numpy as jnp
import dynamem as dm

def square(t, x):
    return x @ x

def at(energy, field, size=2):
    return dm.System(energy, dfx.ODETerm(lambda t, x, a: field(t, x)), jnp.eye(4)[:, :size], 0.0, 1.0)

cubic = at(square, lambda t, x: -x + x**3)
rising = at(square, lambda t, x: x)
turning = at(lambda t, x: (x @ x) ** 3 - 2 * x[0] ** 2, lambda t, x: jnp.stack([x[1], -x[0]]) * jnp.sin(1 / (x @ x)))
root = at(lambda t, x: jnp.sqrt(x[0]), lambda t, x: -x)
wide = at(lambda t, x: jnp.exp(-t) * (x @ x), lambda t, x: -x, 4)
"""
SMALL = ("--box", "-0.9", "0.9", "0.1", "0.9")


@pytest.fixture
def certify(monkeypatch, tmp_path, capsys):
    """Run `dynamem certify` in a folder that has the models, and `dynamem verify`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "certified_models.py").write_text(MODELS)

    def run(name, *args, command="certify"):
        sys.modules.pop("certified_models", None)
        first = f"certified_models:{name}" if command == "certify" else name
        code = main([command, first, *args])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def test_a_certificate_is_written_and_replays_and_a_changed_one_does_not(certify, tmp_path):
    done = certify(
        "cubic", *SMALL, "--claim", "strict_decrease", "--certificate", "c", "--json", "v", "--expect", "certified"
    )
    assert (done.code, done.err) == (0, "")
    assert "certified" in done.out
    told = json.loads((tmp_path / "v").read_text())
    assert (told["schema"], told["verdict"], told["witness"]) == ("dynamem.certify/1", "certified", None)
    assert "certificate" not in told["evidence"]
    replayed = certify("c", command="verify")
    assert (replayed.code, replayed.err) == (0, "")
    assert "replays: LE < 0" in replayed.out
    body = json.loads((tmp_path / "c").read_text())
    (tmp_path / "c").write_text(json.dumps(body | {"claim": "E < 0"}))
    changed = certify("c", command="verify")
    assert changed.code == 1
    assert "does not replay: the hash" in changed.out
    unreadable = certify("v", command="verify")
    assert (unreadable.code, unreadable.out) == (2, "")
    assert "this version reads" in unreadable.err
    assert certify("none", command="verify").code == 2


@pytest.mark.parametrize(
    ("name", "box", "verdict", "expected", "code"),
    [
        ("rising", ["-1", "1", "-1", "1"], "broken", None, 0),
        ("rising", ["-1,1", "-1e0,1"], "broken", "certified", 1),
        ("root", ["[-1,", "1]", "0:1"], "failed", "holds", 4),
        ("cubic", list(SMALL[1:]), "certified", "proved", 1),
        ("turning", ["0.1", "1", "0.1", "1"], "broken", "holds", 1),
    ],
)
def test_verdicts_and_exit_codes(certify, name, box, verdict, expected, code):
    args = [] if expected is None else ["--expect", expected]
    claim = ["--claim", "strict_decrease"] if verdict == "certified" else []
    done = certify(name, "--box", *box, "--budget-s", "20", "--json", "v", *args, *claim, "--certificate", "c")
    told = json.loads(Path("v").read_text())
    assert (told["verdict"], done.code) == (verdict, code)
    assert (told["witness"] is not None) == (verdict == "broken")
    assert ("is not written" in done.err) == (verdict != "certified")


def test_slices_and_times(certify):
    lam = ("--lam", "0", "1", "--claim", "strict_decrease")
    assert "certified" in certify("wide", "--plane", "0", "1", "2", "--box", "-1", "1", "-1", "1", *lam).out
    one = certify("wide", "--plane", "0", "1", "--box", "-1", "1", "--lam", "0.5", "--claim", "strict_decrease")
    assert "certified" in one.out
    assert "x = a + B u in 4 dimensions" in one.out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--box", "1"], "no pairs"),
        (["--box", "1", "x"], "'x' is no number"),
        (["--box", "1", "0", "0", "1"], "is empty"),
        (["--box", "0", "inf", "0", "1"], "only bounded regions"),
        (["--box", "0", "1"], "2 coordinates need 2"),
        ([*SMALL, "--claim", "grows"], "claim='grows'"),
        ([*SMALL, "--claim", "rate:fast"], "rate:R"),
        ([*SMALL, "--claim", "rate:inf"], "finite"),
        ([*SMALL, "--budget-s", "0"], "budget_s=0.0"),
        ([*SMALL, "--plane", "0", "9"], "there are 4 points"),
        ([*SMALL, "--plane", "0", "0"], "span less"),
        ([*SMALL, "--lam", "1", "2", "3"], "interval"),
        ([*SMALL, "--energy", "free"], "its own energy"),
        ([*SMALL, "--json", "no/"], "is a folder"),
        ([], "--box"),
    ],
)
def test_bad_usage_is_one_line(certify, args, says):
    done = certify("cubic", *args)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_ctrl_c_prints_what_is_decided(certify, monkeypatch):
    class Interrupted(rigour._search.Search):
        def _round(self, *args):
            raise KeyboardInterrupt

    monkeypatch.setattr(rigour._certify, "Search", Interrupted)
    done = certify("cubic", "--box", "-1", "1", "-1", "1")
    assert done.code == 130
    assert "undecided" in done.out


def test_verify_needs_neither_jax_nor_numpy():
    code = (
        "import sys\n"
        "for name in ('jax', 'numpy', 'scipy', 'rich', 'equinox'): sys.modules[name] = None\n"
        "from dynamem.cli import main\n"
        "sys.exit(main(['verify', 'none']))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert "none: " in found.stderr


@pytest.mark.parametrize(
    ("name", "args", "images"),
    [
        ("cubic", ("--box", "-0.9", "0.9", "0.2", "0.2"), 1),
        ("rising", ("--box", "-1", "1", "-1", "1"), 1),
        ("wide", ("--plane", "0", "1", "2", "--box", "0", "1", "0", "1", "--lam", "0", "1"), 1),
        ("wide", ("--box", *("0", "1") * 4, "--lam", "0", "1"), 0),
    ],
)
def test_a_page_with_maps(certify, tmp_path, name, args, images):
    done = certify(name, *args, "--html", "page.html", "--budget-s", "3")
    assert (done.code, done.err) == (0, "")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert page.count("<img ") == images
    assert page.count('alt="Maps of where the energy certainly falls and rises.') == images
    assert f"certified_models:{name}" in page
    shares = "rises &gt;99 %" if name == "rising" else "falls &gt;99 %" if name == "cubic" else "falls 100 %"
    assert images == 0 or shares in page or "100 %" in page
    assert images or "No map is drawn" in page
