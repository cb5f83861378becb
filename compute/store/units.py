"""Units of work that were handed in, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from compute.store.base import (
    Action,
    Joint,
    Listener,
    Many,
    Work,
    take_actions,
    take_announcements,
)

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


def in_runs(batch: Sequence[Unit]) -> Iterator[list[Unit]]:
    """The units of a batch in their order; those that stand side by side and can be carried
    out together are one list."""
    for many, units in groupby(batch, _many):
        if many is not None:
            yield list(units)
        else:
            yield from ([unit] for unit in units)


def run_joint(units: Sequence[Unit], connection: Connection) -> None:
    """Carry out a list of :func:`in_runs` that has several. Each has its result or its error.
    Raises what says nothing of a single one."""
    for unit in units:
        unit.result, unit.error = None, None
        unit.actions = unit.announced = ()
    take_actions(connection)
    take_announcements(connection)
    works = [unit.work for unit in units if isinstance(unit.work, Joint)]
    outcomes = works[0].many(connection, [work.asked for work in works])
    actions, announced = take_actions(connection), take_announcements(connection)
    for unit, outcome in zip(units, outcomes, strict=True):
        if isinstance(outcome, Exception):
            unit.fail(outcome)
            continue
        unit.result = outcome
        # All of them commit together: it makes no difference whose it is.
        unit.actions, unit.announced, actions, announced = actions, announced, (), ()


def _many(unit: Unit) -> Many[Any] | None:
    return unit.work.many if isinstance(unit.work, Joint) else None


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
