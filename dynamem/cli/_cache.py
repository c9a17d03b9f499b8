"""JAX as the command line wants it: 64 bits, and compiled programs kept between runs.

JAX's persistent cache stores nothing at its default thresholds, as few programs take a second to compile, and never a
program with a host callback. Each of Equinox's run-time checks is one, and Diffrax makes some in every solve with fixed
steps: here they give NaN, which an audit reports as a failed row.
"""

import gc
import os
import sys
from pathlib import Path


VARIABLE = "DYNAMEM_CACHE"


def cache_folder() -> Path | None:
    """Where compiled programs go.

    `DYNAMEM_CACHE` if set, and None if that is `off`; else `dynamem/jax` in the user's cache folder (XDG Base
    Directory Specification: `XDG_CACHE_HOME` if it is an absolute path, otherwise `~/.cache`).
    """
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen:
        return None if chosen.lower() == "off" else Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return Path(base if os.path.isabs(base) else Path.home() / ".cache", "dynamem", "jax")
    except RuntimeError:  # no home
        return None


def prepare_jax(*, raising: bool = False) -> list[str]:
    """Switch 64 bits on, and the cache unless JAX's own variable names one or the folder cannot be made.

    The collector of garbage is asked less often, as tracing makes many small objects that stay.

    Arguments:
        raising: whether run-time checks raise, with their message, at the price of compiling such programs each time:
            for code of the user's. ``EQX_ON_ERROR`` overrules it.

    Returns:
        Notes for the user.
    """
    if not raising and "equinox" not in sys.modules:  # which reads it when imported
        os.environ.setdefault("EQX_ON_ERROR", "nan")
    import jax

    gc.set_threshold(100_000)
    jax.config.update("jax_enable_x64", True)
    folder = cache_folder()
    if folder is None or (os.environ.get("JAX_COMPILATION_CACHE_DIR") and not os.environ.get(VARIABLE)):
        return []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return [f"{VARIABLE}={str(folder)!r} cannot be used ({error.strerror}); compiling without a cache"]
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return []
