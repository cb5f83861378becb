"""What the ground floor tells of its work, and to whom.

This package counts nothing itself and knows no format: whoever wants figures hands in a
:class:`Recorder` of his own. What is told costs a call; nothing is computed for it that is
not at hand.
"""

from __future__ import annotations

from compute.status import Phase


class Recorder:
    """Is told what happens. This one forgets it all.

    Methods are called from any thread, must be quick and must not raise. Times are seconds.
    """

    def moved(self, environment: str, before: Phase | None, after: Phase, seconds: float) -> None:
        """A job has gone from ``before``, where it was for ``seconds``, to ``after``; this is
        stored. A new job comes from None."""

    def input_taken(self, size_bytes: int, *, fetched: bool) -> None:
        """A job was given an input of this size: ``fetched`` for it, or found in the cache."""

    def committed(self, units: int, seconds: float) -> None:
        """So many units of work were made durable by one commit of the database."""

    def commit_failed(self, units: int) -> None:
        """None of so many units of work that shared a commit could be kept."""

    def operating(self, at_work: bool) -> None:
        """The loop that works on jobs has begun, or is over."""


NOBODY = Recorder()
"""The recorder where none is given."""
