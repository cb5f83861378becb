"""The end of a process: told by SIGTERM or SIGINT, orderly, and never later than it may be.

The order: nothing new is taken on and readiness is over, while everything else is still
answered for ``DRAIN_DELAY`` seconds, so that load balancers notice; then nobody is let in, open
answers get what ``STOP_GRACE`` allows, and the parts close. Containers run on, for the next
start to find.

Whatever hangs, a handler, the engine, the database, the log, does not keep the process: a
thread of its own ends it when the time is over. That loses nothing, since everything that
counts is durable before it is answered, as for a crash. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from types import FrameType
from typing import Final

log = logging.getLogger(__name__)

CLOSING_SHARE: Final = 0.3
MOST_CLOSING_S: Final = 3.0
"""What of the grace is kept for the parts to close, after the answers."""

_LEFTOVERS_S: Final = 1.0
"""For threads that nobody waits for any more, once everything is closed."""

_LAST_WORD_S: Final = 0.5


class Stopping:
    """Listens for the signals, in the main thread, while a loop runs. ``begun`` is set by the
    first one."""

    def __init__(self, drain_s: float, grace_s: float) -> None:
        self.begun = asyncio.Event()
        self.drain_s = drain_s
        self.grace_s = grace_s
        self._loop = asyncio.get_running_loop()
        self._signalled = False
        self._ends_at = float("inf")
        self._silently = False

    def listen(self) -> None:
        """From now on SIGTERM and SIGINT are ours.

        Not the loop's: a loop that is busy would never hear them.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)

    @property
    def answers_s(self) -> float:
        """How long open answers may go on once nobody is let in any more."""
        return max(0.0, self.grace_s - min(MOST_CLOSING_S, CLOSING_SHARE * self.grace_s))

    def closed(self) -> None:
        """Everything of value has ended; threads that are still busy are not waited for."""
        if self._signalled:
            self._silently = True
            self._ends_at = min(self._ends_at, time.monotonic() + _LEFTOVERS_S)

    def _told(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            os._exit(0)
        self._signalled = True
        self._ends_at = time.monotonic() + self.drain_s + self.grace_s
        threading.Thread(target=self._end_in_time, name="last resort", daemon=True).start()
        self._loop.call_soon_threadsafe(self.begun.set)

    def _end_in_time(self) -> None:
        while (left := self._ends_at - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        if not self._silently:
            # What hangs may hold the log.
            word = threading.Thread(target=self._say, daemon=True)
            word.start()
            word.join(_LAST_WORD_S)
        os._exit(0)

    def _say(self) -> None:
        log.warning("stopped_by_force after_s=%.1f", self.drain_s + self.grace_s)
