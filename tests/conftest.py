"""How the tests run: 64 bit, no silent broadcasting or promotion, compiled programs kept between runs.

Nothing here may import dynamem: the runtime checks of `make test` (`--jaxtyping-packages`) only see what is imported
after it.
"""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings


# In the environment, so that all processes of pytest-xdist, and those that tests start, share the cache. What one has
# half written another may read: JAX warns of it, which pyproject.toml lets pass, and compiles.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Most of the time of the tests goes into compiling programs that run once: let LLVM and XLA spend less on each.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false")

import jax


# Traces are many small objects, which the collector would look through again and again.
gc.set_threshold(100_000)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# A shell that starts the tests in the background has them, and the processes that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The first call of a jitted function compiles, whatever the example: time says nothing about it.
_QUIET = [HealthCheck.too_slow]
settings.register_profile("dev", deadline=None, max_examples=25, suppress_health_check=_QUIET, derandomize=False)
settings.register_profile("ci", deadline=None, max_examples=25, suppress_health_check=_QUIET, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

MAPS = Path("/proc/self/maps")
MOST_MAPS = 25_000


@pytest.fixture(autouse=True, scope="module")
def _few_programs_at_a_time():
    """Drop compiled programs before they are too many: each is some pieces of memory, and Linux grants 65,530."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()
