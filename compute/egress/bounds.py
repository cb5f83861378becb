"""How far one looks into what hostile code has written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_DEPTH = 5
"""Archives within each other."""
MOST_MEMBERS = 100_000
"""Of all archives of a job together."""
MOST_IN_MEMORY = 32 << 20
"""Bytes of a zip archive that lies within another archive: it can only be read from its end."""

MOST_SECONDS = 120.0
"""Of a processor, for all that a job left behind: what is made for it takes a second a megabyte."""


class Doubt(Exception):
    """Something cannot be looked into, or not within the bounds. The rule that wanted to know
    fires."""


@dataclass(slots=True)
class Budget:
    """What may be inflated for one job, in bytes and in members of archives, and how long it may
    take the thread that it is made in. ``may_go_on`` raises where all is to end."""

    bytes_left: int
    members_left: int = MOST_MEMBERS
    may_go_on: Callable[[], None] = lambda: None
    until: float = field(default_factory=lambda: time.thread_time() + MOST_SECONDS)

    def look(self) -> None:
        """Before each piece that is looked at. Raises Doubt, and what ``may_go_on`` does."""
        self.may_go_on()
        if time.thread_time() > self.until:
            raise Doubt("it takes too long to be looked into")

    def member(self) -> None:
        self.look()
        self.members_left -= 1
        if self.members_left < 0:
            raise Doubt("archives have too many members")

    def inflate(self, size: int) -> None:
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise Doubt("archives are too large once inflated")
