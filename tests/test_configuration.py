"""Configuration bites: each tool, as this project sets it up, refuses a sample that it should refuse."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from importlib.metadata import version
from pathlib import Path

import hypothesis
import jax
import jax.numpy as jnp
import pytest

from tests.benchmarks import __main__ as benchmarks


ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BIN = Path(sys.executable).parent

UGLY = '''"""Doc."""
import os
import jax.numpy as np
import numpy
import pytest


def f(x, y=[]):
    try:
        print(list([i for i in x]))
    except Exception:
        raise ValueError("no")
    if x == None:
        return os.path
    else:
        return Optional["int"]\x20


def _g(a):
    pass
    """Not a docstring."""
    pass
    numpy.random.seed(0)
    with pytest.raises(ValueError):
        a, unused_name = f(1), 2
    l = [*[1], *a] + [2]
    for i in (1, 2):
        if i:
            if l:
                return numpy.random.rand(3)


class A(object):
    B = {}
'''


def run(*command, stdin=None, cwd=ROOT):
    return subprocess.run(
        list(map(str, command)), input=stdin, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def ruff_codes(text, file):
    report = run(BIN / "ruff", "check", "--output-format=json", "--stdin-filename", file, "-", stdin=text)
    return {found["code"] for found in json.loads(report.stdout)}


def test_ruff_knows_every_family_that_is_selected():
    branches = "    if a == 0:\n        a = 1\n" * 11
    codes = ruff_codes(f"{UGLY}\n\ndef _h(a):\n{branches}", "dynamem/sample.py")
    selected = PROJECT["tool"]["ruff"]["lint"]["select"]
    silent = [family for family in selected if not any(re.fullmatch(rf"{family}\d*", code) for code in codes)]
    assert not silent, sorted(codes)


def test_ruff_allows_printing_only_where_it_is_the_job():
    text = 'print("x")\n'
    for file, allowed in {"dynamem/flows/_a.py": False, "dynamem/cli/_a.py": True, "examples/a.py": True}.items():
        assert ("T201" in ruff_codes(text, file)) is not allowed, file


ROOMS = [
    *(
        "cli",
        "testing",
        "report",
        "survey",
        "comparison",
        "stability",
        "catalog",
        "learning",
        "rigour",
        "lyapunov",
        "theorems",
        "solvers",
    ),
    *("flows", "diffusion", "energies", "algebra", "programs", "kernels"),
    *("_validate", "_output", "_types", "_errors", "_journal", "_versions"),
]
BAD_IMPORTS = {
    "an import that points up": ("kernels", "from dynamem import flows", "Imports point down"),
    "an import that points up inside a function": (
        "kernels",
        "def f():\n    from dynamem import cli",
        "Imports point down",
    ),
    "a room without a place": ("drawer", "", "drawer"),
    "the tests": ("kernels", "import tests.guards", "The package needs neither its tests"),
    "a tool of the tests": ("kernels", "import torch", "The package needs neither its tests"),
}


def lint_imports(folder, extra):
    """Run the project's import contracts on a package with a file for each room, and `extra` on top."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "dynamem").mkdir()
    for name, text in {"__init__": "", **dict.fromkeys(ROOMS, ""), **extra}.items():
        (folder / "dynamem" / f"{name}.py").write_text(text)
    return run(sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", cwd=folder)


def test_the_import_contracts_name_every_room(tmp_path):
    kept = lint_imports(tmp_path, {"cli": "from dynamem import kernels"})
    assert kept.returncode == 0, kept.stdout + kept.stderr


@pytest.mark.parametrize(("room", "text", "message"), BAD_IMPORTS.values(), ids=BAD_IMPORTS)
def test_the_import_contracts_refuse(tmp_path, room, text, message):
    broken = lint_imports(tmp_path, {room: text})
    assert broken.returncode != 0
    assert message in broken.stdout + broken.stderr


def test_codespell_refuses_a_misspelling():
    assert run(BIN / "codespell", "-", stdin="het"[::-1] + " field\n").returncode != 0
    assert run(BIN / "codespell", "-", stdin="the field\n").returncode == 0


SAMPLE = """
import warnings
import pytest

def test_that_warns():
    warnings.warn("loud")

@pytest.mark.xfail
def test_that_passes_where_it_should_fail():
    pass

@pytest.mark.long
def test_that_is_left_out():
    pass
"""


def run_pytest(folder, text):
    (folder / "test_sample.py").write_text(text)
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", folder, "-c", ROOT / "pyproject.toml"]
    return run(sys.executable, "-m", "pytest", *options, folder / "test_sample.py", cwd=folder)


@pytest.mark.long
def test_pytest_is_strict(tmp_path):
    result = run_pytest(tmp_path, SAMPLE)
    assert "2 failed, 1 deselected" in result.stdout
    assert "UserWarning: loud" in result.stdout
    assert "XPASS(strict)" in result.stdout
    assert "'lnog' not found in `markers`" in run_pytest(tmp_path, SAMPLE.replace("mark.long", "mark.lnog")).stdout


@pytest.mark.long
def test_the_type_checker_reads_the_package(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "examples").mkdir()
    (tmp_path / "dynamem").mkdir()
    (tmp_path / ".venv").symlink_to(sys.prefix)
    sample = tmp_path / "dynamem" / "sample.py"
    for text, good in {'"""Doc."""\n\nx: int = 1\n': True, '"""Doc."""\n\nx: int = "1"\n': False}.items():
        sample.write_text(text)
        result = run(BIN / "basedpyright", cwd=tmp_path)
        assert (result.returncode == 0) is good, result.stdout


def test_arrays_are_neither_promoted_nor_cut_to_32_bit():
    assert jnp.ones(2).dtype == jnp.float64
    with pytest.raises(ValueError, match="rank_promotion"):
        _ = jnp.ones((2, 2)) + jnp.ones(2)
    with pytest.raises(ValueError, match="type promotion"):
        _ = jnp.ones(2) + jnp.ones(2, jnp.float32)


def test_warnings_are_errors():
    with pytest.raises(UserWarning, match="loud"):
        warnings.warn("loud", stacklevel=1)


def test_compiled_programs_are_kept():
    assert Path(jax.config.jax_compilation_cache_dir).is_relative_to(ROOT / ".cache")
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0
    jax.jit(lambda x: x + 1)(2.0)
    assert list((ROOT / ".cache" / "jax").iterdir())


def test_hypothesis_has_no_deadline_and_repeats_itself_in_ci():
    assert hypothesis.settings().deadline is None
    assert hypothesis.settings.get_profile("ci").derandomize
    assert not hypothesis.settings.get_profile("dev").derandomize


def test_the_installed_packages_are_the_pinned_ones():
    """A stale constraints.txt, or an environment that was made without it, fails here."""
    needed = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["test"]
    pins = [line.split(" ; ")[0].split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()]
    for requirement in needed:
        name = re.match(r"[\w-]+", requirement).group()
        assert version(name) in [pin for pinned, pin in pins if pinned == name], requirement


def test_the_benchmarks_run_by_name(capsys):
    assert benchmarks.main(["no-such-benchmark"]) == 2
    assert "no-such-benchmark" in capsys.readouterr().err
