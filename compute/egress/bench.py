"""Where hostile results are looked into: in threads of its own, which are few.

To look into what somebody has made for the purpose takes minutes of a processor. Meanwhile all
other work of the process has its threads, and an environment whose jobs do that holds up no
other environment's. When nobody waits for the answer any more, the looking ends too.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Event
from typing import TypeVar

from compute import tenure
from compute.errors import MoveLost

T = TypeVar("T")
MayGoOn = Callable[[], None]

_THREADS = 8
_AT_ONCE = 2
"""Of one environment."""


class Bench:
    """Runs what reads results, for one operator."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="judging")
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_AT_ONCE)
        )

    async def run(self, environment: str, look: Callable[[MayGoOn], T]) -> T:
        """``look`` in a thread, in its environment's turn. It is given what to call before each
        piece, which raises MoveLost where it may not go on."""
        given_up = Event()

        def may_go_on() -> None:
            if given_up.is_set():
                raise MoveLost("Nobody waits for the verdict any more")
            tenure.require()

        async with self._turns[environment]:
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._threads, copy_context().run, look, may_go_on
                )
            finally:
                given_up.set()
