"""What the processes of an installation tell each other about jobs.

News only wakes: who hears it looks into the store, which alone knows.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection

from compute.store.base import MISSED, announce


class Event(StrEnum):
    """QUEUED: waits for a place. WISHED: its goal was raised, or a reviewer has decided. HELD: it
    waits for reviewers, and has no place any more. ENDED: it came to its first terminal phase.
    GONE: it was deleted. MISSED: some of these may not have been heard."""

    QUEUED = "job.queued"
    WISHED = "job.wished"
    HELD = "job.held"
    ENDED = "job.ended"
    GONE = "job.gone"
    MISSED = "missed"


class News(NamedTuple):
    """``environment`` and ``job_id`` are empty with MISSED."""

    event: Event
    environment: str = ""
    job_id: str = ""


_EVENTS = {event.value: event for event in Event if event is not Event.MISSED}


def tell(connection: Connection, event: Event, environment: str, job_id: str) -> None:
    """Have all processes hear it once the unit is on disk."""
    announce(connection, f"{event}:{environment}:{job_id}")


def heard(text: str) -> News | None:
    """The news of an announcement, None for one that is about something else."""
    if text == MISSED:
        return News(Event.MISSED)
    topic, _, rest = text.partition(":")
    event = _EVENTS.get(topic)
    if event is None:
        return None
    environment, _, job_id = rest.partition(":")
    return News(event, environment, job_id)
