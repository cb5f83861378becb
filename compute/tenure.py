"""Whether a step that is under way is still this process's to carry out.

A process may stand still in the middle of a step (it was paused, its machine was) for so long
that another one has taken its job over. When it goes on, it must not touch what lies there by
then: folders, mounts and containers have the same names for both. So each step remembers
under which tenure of the lease it began, and everything that makes or removes something asks
first. It lasts until the lease has lapsed once, even if it is renewed at once.

The answer goes with the step through tasks and threads, so that those who ask need not be
told of leases.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from compute.errors import MoveLost

Lasts = Callable[[], bool]


def _always() -> bool:
    return True


_lasts: ContextVar[Lasts] = ContextVar("lasts", default=_always)


@contextlib.contextmanager
def under(lasts: Lasts) -> Iterator[None]:
    """What is done inside asks ``lasts``."""
    token = _lasts.set(lasts)
    try:
        yield
    finally:
        _lasts.reset(token)


def lasts() -> bool:
    """True while the step's job is this process's. Outside of steps always."""
    return _lasts.get()()


def require() -> None:
    """Raises MoveLost once it is not."""
    if not lasts():
        raise MoveLost("This process stood still, and another may have the job")
