"""Ctrl-C for work that has to clear up behind itself: once is enough, and more does not hurt."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def interruptible(work: Coroutine[Any, Any, T], again: Callable[[], None]) -> T:
    """Do the work in this task; SIGINT or SIGTERM cancels it once. While it clears up, ``again``
    is called for each further one, and nothing else happens: who loses patience must not keep
    mounts and containers. Signals that the process was started to ignore stay ignored.

    Raises KeyboardInterrupt when it was interrupted.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if interrupted or task is None:
            again()
            return
        interrupted = True
        task.cancel()

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, interrupt)
    try:
        return await work
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
