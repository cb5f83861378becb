"""How far one looks into what hostile code has written."""

from __future__ import annotations

from dataclasses import dataclass

MOST_DEPTH = 5
"""Archives within each other."""
MOST_MEMBERS = 100_000
"""Of all archives of a job together."""
MOST_IN_MEMORY = 32 << 20
"""Bytes of a zip archive that lies within another archive: it can only be read from its end."""


class Doubt(Exception):
    """Something cannot be looked into, or not within the bounds. The rule that wanted to know
    fires."""


@dataclass(slots=True)
class Budget:
    """What may be inflated for one job, in bytes and in members of archives."""

    bytes_left: int
    members_left: int = MOST_MEMBERS

    def member(self) -> None:
        self.members_left -= 1
        if self.members_left < 0:
            raise Doubt("archives have too many members")

    def inflate(self, size: int) -> None:
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise Doubt("archives are too large once inflated")
