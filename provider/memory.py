"""Keeping the garbage collector from what stays anyway.

A thousand modules are half a million objects that live as long as the process. While they are
imported, the collector would walk them several times over, a seventh of a start; afterwards it
would again at each full collection.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

GC_ALLOCATIONS = 20_000


@contextmanager
def imports_kept() -> Iterator[None]:
    """Nothing is collected while modules are imported in here, nor of what exists then. Of
    what they leave less than a megabyte is garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def settle_memory() -> None:
    """What exists now stays: keep the collector from walking it again and again.

    Requests make few cycles, so it may also look less often; that is a tenth of what a
    short request costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
