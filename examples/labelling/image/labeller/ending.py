"""Being asked to end: at once, but not between a batch's writing and its report.

So what the report says is what the database holds.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Ending:
    def __init__(self) -> None:
        self._held = False
        self._asked = 0

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._ask)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is in the block is done as a whole."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            raise SystemExit(128 + self._asked)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = number
        if not self._held:
            raise SystemExit(128 + number)
