"""Whether the queue of an environment takes one more job.

Nothing is counted further than the limit that it is compared with.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from compute.errors import QueueFull
from compute.models import Job
from compute.store import sql


class Room(NamedTuple):
    """How many jobs an environment lets wait, in all and of one owner, beside those that its
    free ``places`` wait for."""

    queue_limit: int
    owner_limit: int | None = None
    places: int = 0


def require_room(connection: Connection, job: Job, room: Room) -> None:
    """Raises QueueFull where there is none for one more."""
    free = max(0, room.places - sql.count_active(connection, job.environment))
    waits = bool(job.retry_at) or sql.are_due(connection, job.environment, job.created_at, free)
    if not waits:
        # A place waits for it, however many jobs wait for their time.
        return
    if sql.are_queued(connection, job.environment, room.queue_limit + free):
        raise QueueFull("The queue of this compute environment is full")
    if room.owner_limit is not None:
        _require_room_for(connection, job, room.owner_limit + free)


def _require_room_for(connection: Connection, job: Job, limit: int) -> None:
    if sql.are_queued_of(connection, job.environment, job.owner, limit):
        raise QueueFull(
            "This wallet has as many jobs waiting in this compute environment as one may have"
        )
