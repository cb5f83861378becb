"""A figure beside its reference, and how the two are measured: in turns."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Measurement = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Figure:
    """What a row of the table says.

    ``ratio`` is figure to reference, and ``goal`` is reached from below or from above by it.
    Where there is no reference (``None``, as is the ratio then) the goal is for the figure
    itself. Without a goal the figure is there to be known.
    """

    name: str
    figure: float
    reference: float | None
    unit: str
    ratio: float | None
    goal: float | None
    smaller_is_better: bool

    @property
    def reached(self) -> bool:
        if self.goal is None:
            return True
        value = self.figure if self.ratio is None else self.ratio
        return value <= self.goal if self.smaller_is_better else value >= self.goal

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "reached" if self.reached else "missed"

    @property
    def wanted(self) -> str:
        if self.goal is None:
            return ""
        unit = f" {self.unit}" if self.ratio is None else ""
        return f"{'≤' if self.smaller_is_better else '≥'} {self.goal}{unit}"


async def alternate(
    rounds: int, ours: Measurement, reference: Measurement
) -> tuple[float, float, float]:
    """Median of ours, of the reference, and of the ratios pair by pair.

    Which of the two goes first changes from round to round.
    """
    pairs = []
    for index in range(rounds):
        if index % 2:
            other, own = await reference(), await ours()
        else:
            own, other = await ours(), await reference()
        pairs.append((own, other))
    return (
        statistics.median(own for own, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(own / other for own, other in pairs),
    )
