"""Where compiled programs are kept between runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dynamem.cli import _cache


ROOT = Path(__file__).resolve().parents[1]

CACHES = [
    # DYNAMEM_CACHE, XDG_CACHE_HOME, folder
    ("off", "/x", None),
    ("OFF", None, None),
    ("/y", "/x", "/y"),
    ("", "/x", "/x/dynamem/jax"),
    (None, "/x", "/x/dynamem/jax"),
    (None, "relative", "/home/me/.cache/dynamem/jax"),
    (None, None, "/home/me/.cache/dynamem/jax"),
    ("~/z", None, "/home/me/z"),
]


@pytest.mark.parametrize(("own", "xdg", "folder"), CACHES)
def test_where_compiled_programs_are_kept(monkeypatch, own, xdg, folder):
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in (("DYNAMEM_CACHE", own), ("XDG_CACHE_HOME", xdg)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert _cache.cache_folder() == (folder and Path(folder))


SET = "from dynamem.cli._cache import prepare_jax\nprepare_jax({})\n"
NUMBERS = "import jax\nprint(jax.jit(lambda x: x * 2 + 1)(jax.numpy.arange(3.0)).dtype)"
SOLVE = """
import diffrax as dfx, jax, jax.numpy as jnp
def check(x0, dt0):
    return dfx.diffeqsolve(dfx.ODETerm(lambda t, x, args: -x), dfx.Euler(), 0.0, 1.0, dt0, x0, throw=False).ys
print(jax.jit(check)(jnp.ones(2), jnp.asarray(-0.1)))
"""


def prepared(script, folder, raising=""):
    """The outcome of a script in a process that the command line has prepared."""
    unset = (
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
        "JAX_ENABLE_X64",
        "EQX_ON_ERROR",
    )
    env = {name: value for name, value in os.environ.items() if name not in unset} | {"DYNAMEM_CACHE": str(folder)}
    command = [sys.executable, "-c", SET.format(raising) + script]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_compiled_programs_are_kept_and_numbers_have_64_bits(tmp_path):
    assert prepared(NUMBERS, tmp_path).stdout.split() == ["float64"]
    assert any(tmp_path.iterdir())


def test_solves_with_fixed_steps_are_kept_and_their_checks_give_nan(tmp_path):
    assert "nan" in prepared(SOLVE, tmp_path).stdout
    assert any(tmp_path.glob("jit_check-*"))


def test_checks_in_code_of_the_user_raise(tmp_path):
    assert "Must have (t1 - t0) * dt0 >= 0" in prepared(SOLVE, tmp_path, "raising=True").stderr
