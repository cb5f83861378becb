"""What a queued job waits for, as fields of its job object. Pure.

Clients of before know nothing of these fields and pass over them.
"""

from __future__ import annotations

from typing import Any

from compute.fairness import Reason, Shortage, Waiting

_UNITS = {"cpu": "CPU", "ram": "GB of memory", "disk": "GB of disk", "gpu": "GPU"}


def fields(waiting: Waiting) -> dict[str, Any]:
    """``queuePosition`` (1 is next) and ``queueReason`` for programs, ``queueDetail`` for
    people; times are seconds since the epoch as text, null where there is none."""
    return {
        "queuePosition": waiting.position,
        "queueReason": waiting.reason.value,
        "queueDetail": detail(waiting),
        "queueShort": [
            {"resource": one.resource, "needed": _amount(one.needed), "free": _amount(one.free)}
            for one in waiting.short
        ],
        "queueDelayedUntil": _moment(waiting.until),
        "queueWaitEnds": _moment(waiting.wait_ends_at),
        "queuePlaceFreesBy": _moment(waiting.frees_by),
    }


def detail(waiting: Waiting) -> str:
    """One sentence. It holds no time, so that it changes only when something does."""
    number = "" if waiting.position is None else f"number {waiting.position} in the queue: "
    return number + _why(waiting)


def _why(waiting: Waiting) -> str:
    if waiting.reason is Reason.DELAY:
        return "waits for the time it was put off to"
    if waiting.reason is Reason.CONSUMER_LIMIT:
        return "as many jobs of this wallet are running as one may have"
    if waiting.reason is Reason.MACHINE:
        return _machine(waiting.short)
    if waiting.reason is Reason.PLACE:
        return "all places are taken"
    return "about to start"


def _machine(short: tuple[Shortage, ...]) -> str:
    if not short:
        return "no machine is there to run it"
    lacks = ", ".join(
        f"{_amount(one.needed)} {_UNITS[one.resource]} (free: {_amount(one.free)})" for one in short
    )
    return f"the machine is full; it needs {lacks}"


def _amount(value: float) -> int | float:
    rounded = round(value, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def _moment(at: float | None) -> str | None:
    return None if at is None else f"{at:.6f}"
