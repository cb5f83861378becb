"""The contract of the database.

A *unit of work* is a plain function of a SQLAlchemy Core connection. ``write`` runs it
inside a transaction and answers only once that is durable; whatever it raises rolls back
its own statements and nobody else's. The floor above hands units of its own tables in
(consume a nonce), to be carried out together with a job's: both commit or neither does.

What is kept in memory beside the database must never be ahead of it. A unit therefore
does not touch a cache itself but asks for it with :func:`after_commit`.

Units of one kind that many ask for at once may be carried out together (:class:`Joint`).

Several processes may share a database. What the others have to know of a change is told
with :func:`announce`, and heard by :meth:`Database.hear`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from compute.metrics import NOBODY, Recorder

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Statements to be run in one transaction. Short, and free of any other effect: it may be
run a second time after its first run was rolled back."""

Action = Callable[[], None]

Listener = Callable[[str], None]
"""Hears announcements, on the event loop. Must be quick and must not raise."""

MISSED = ""
"""What a listener hears when announcements may have been lost: look at everything."""

LONGEST_ANNOUNCEMENT = 200

_ACTIONS = "compute.after_commit"
_ANNOUNCED = "compute.announced"


Many = Callable[[Connection, Sequence[Any]], Sequence[T | Exception]]
"""Carries out what is asked, in this order, and tells for each what came of it. What an
exception comes of has changed nothing. Raises what says nothing of a single one."""


@dataclass(frozen=True, slots=True)
class Joint(Generic[T]):
    """A unit of work that costs less where several of its kind, which have the same ``many``,
    are carried out in one go. Alone it is a unit as any other."""

    many: Many[T]
    asked: Any

    def __call__(self, connection: Connection) -> T:
        (outcome,) = self.many(connection, [self.asked])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def nothing(connection: Connection) -> None:
    """The unit of work that does nothing: the default of each ``also``."""


def after_commit(connection: Connection, action: Action) -> None:
    """Have ``action`` called once the unit that ``connection`` was given to is on disk.

    Actions run on the event loop, in the order of the commits, before any caller sees the
    answer of its ``write``, and also when that caller was cancelled. They never run for a
    unit that was rolled back. An action must be quick and must not raise.
    """
    connection.info.setdefault(_ACTIONS, []).append(action)


def take_actions(connection: Connection) -> Sequence[Action]:
    """What was asked for since the last call. For implementations of Database only."""
    actions: Sequence[Action] = connection.info.pop(_ACTIONS, ())
    return actions


def announce(connection: Connection, text: str) -> None:
    """Have every process that shares the database, this one included, hear ``text`` once
    the unit is on disk: ``<topic>:<rest>``, at most 200 bytes.

    What other processes say may come late but comes in the order of the commits. Raises
    ValueError for a text that is too long.
    """
    if not 0 < len(text.encode()) <= LONGEST_ANNOUNCEMENT:
        raise ValueError("an announcement has 1 to 200 bytes")
    connection.info.setdefault(_ANNOUNCED, []).append(text)


def take_announcements(connection: Connection) -> Sequence[str]:
    """What was announced since the last call. For implementations of Database only."""
    announced: Sequence[str] = connection.info.pop(_ANNOUNCED, ())
    return announced


def hearing(listeners: list[Listener], listener: Listener) -> Action:
    """Add a listener; returns what removes it. For implementations of Database only."""
    listeners.append(listener)

    def end() -> None:
        if listener in listeners:
            listeners.remove(listener)

    return end


class Database(ABC):
    """One database, opened. ``recorder`` is told of its commits and of the jobs in it."""

    recorder: Recorder = NOBODY

    def measure(self, recorder: Recorder) -> None:
        """Tell ``recorder`` from now on."""
        self.recorder = recorder

    @property
    @abstractmethod
    def shared(self) -> bool:
        """True when other processes may write into it."""

    @abstractmethod
    def hear(self, listener: Listener) -> Action:
        """Call ``listener`` with each announcement from now on, after what its unit asked
        for with :func:`after_commit`; with MISSED when some may have been lost. Returns
        what ends that."""

    @abstractmethod
    async def write(self, work: Work[T]) -> T:
        """Run ``work`` and commit. Returns after the commit is on disk.

        Cancelling the caller does not take back what was handed in. Raises what ``work``
        raises, and StoreUnavailable when the database cannot be written.
        """

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on a connection that sees all that ``write`` has answered."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was handed in, then disconnect. May be repeated."""
