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


def test_compiled_programs_are_kept_and_numbers_have_64_bits(tmp_path):
    script = (
        "from dynamem.cli._cache import prepare_jax\nprepare_jax()\nimport jax\n"
        "print(jax.jit(lambda x: x * 2 + 1)(jax.numpy.arange(3.0)).dtype)"
    )
    unset = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "JAX_ENABLE_X64")
    env = {name: value for name, value in os.environ.items() if name not in unset} | {"DYNAMEM_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["float64"]
    assert any(tmp_path.iterdir())
