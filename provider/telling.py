"""Log lines about what strangers can cause as often as they like: few, with a number."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

TOLD_AGAIN_S: Final = 60.0


class Told:
    """Tells of what may happen often at most once in ``TOLD_AGAIN_S``, and how often it did."""

    def __init__(self, now: Callable[[], float], log: logging.Logger) -> None:
        self._now = now
        self._log = log
        self._last = float("-inf")
        self._times = 0

    def count(self, message: str, value: object) -> None:
        """``message`` is a log line with a place for ``value``."""
        self._times += 1
        now = self._now()
        if now - self._last >= TOLD_AGAIN_S:
            self._log.warning(message + " times=%s", value, self._times)
            self._last, self._times = now, 0
