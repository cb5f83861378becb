"""How many blocks to ask a node for at once: what it took last, and now and then more. Pure."""

from __future__ import annotations

FIRST_SPAN = 2_000
LARGEST_SPAN = 50_000
TRY_MORE_AFTER = 16


class Span:
    """Learns the largest range that nodes put up with. ``size`` is in blocks."""

    def __init__(self) -> None:
        self.size = FIRST_SPAN
        self._ceiling = LARGEST_SPAN
        self._fitted = 0

    def refused(self, size: int) -> None:
        """A range of this size was too large: halve it, and stay there for a while."""
        self.size = self._ceiling = max(1, size // 2)
        self._fitted = 0

    def fitted(self, size: int) -> None:
        """A range of this size was answered."""
        if size < self.size:
            return
        self._fitted += 1
        if self._fitted % TRY_MORE_AFTER == 0:
            self._ceiling = min(self._ceiling * 2, LARGEST_SPAN)
        self.size = min(self.size * 2, self._ceiling)
