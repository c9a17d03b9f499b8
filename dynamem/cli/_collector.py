"""Python's garbage collector, held still while JAX traces."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def still() -> Iterator[None]:
    """No collections inside.

    Tracing makes millions of objects that live on; going through them again and again takes a fifth of a warm run's
    time, and finds little: arrays are freed by their counts.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
