"""Units of work that were handed in, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from compute.store.base import Action, Listener, Work, take_actions, take_announcements

BATCH_LIMIT = 256
"""Units in one commit at most, so that the first of them does not wait for too many."""


class Unit:
    """One handed-in unit of work and what became of it."""

    __slots__ = ("actions", "announced", "answer", "error", "result", "work")

    def __init__(self, work: Work[Any], answer: asyncio.Future[Any]) -> None:
        self.work = work
        self.answer = answer
        self.result: Any = None
        self.error: Exception | None = None
        self.actions: Sequence[Action] = ()
        self.announced: Sequence[str] = ()

    def run(self, connection: Connection) -> None:
        """Carry the unit out. Raises what it raises."""
        self.result, self.error = None, None
        self.actions = self.announced = ()
        # What a unit that failed has asked for lies there still.
        take_actions(connection)
        take_announcements(connection)
        self.result = self.work(connection)
        self.actions = take_actions(connection)
        self.announced = take_announcements(connection)

    def fail(self, error: Exception) -> None:
        if isinstance(error, StopIteration):
            # A future takes any exception but this one.
            error = RuntimeError("a unit of work raised StopIteration")
        self.result, self.error = None, error
        self.actions = self.announced = ()

    def settle(self) -> None:
        if self.answer.done():
            return
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


def settle(batch: Sequence[Unit], listeners: Sequence[Listener]) -> None:
    """Answer all units of a commit, do what they asked for, tell what they announced.

    On the event loop. Callers go on only after this has returned.
    """
    for unit in batch:
        unit.settle()
    for unit in batch:
        for action in unit.actions:
            action()
    for unit in batch:
        for text in unit.announced:
            for listener in list(listeners):
                listener(text)
