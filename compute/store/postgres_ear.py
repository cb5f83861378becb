"""Hearing what other processes announce: a connection that does nothing else.

It also holds a shared lock as long as it lives, by which a restore sees that the database is
in use. When the connection was lost, what was said meanwhile is lost as well: those who
listen are told so once it is there again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import asyncpg

from compute.store.base import MISSED
from compute.store.server import Server, reason_to_retry

log = logging.getLogger(__name__)

CHANNEL = "ocean_compute"
IN_USE = 0x6F63_6561_6E02
"""The lock that every open database shares."""

PULSE_S = 20.0
"""How often the connection is tried: a server that vanished closes nothing."""

_LONGEST_PAUSE_S = 2.0


class Ear:
    """Calls ``heard`` with who said it and what, or with MISSED twice."""

    def __init__(self, server: Server, heard: Callable[[str, str], None]) -> None:
        self._server = server
        self._heard = heard
        self._lost = asyncio.Event()
        self._connection: asyncpg.Connection[Any] | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Returns once nothing will be missed. Raises what the connection raises."""
        await self._listen()
        self._task = asyncio.create_task(self._stay(), name="database-ear")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._hang_up()

    async def _listen(self) -> None:
        self._lost.clear()
        connection = self._connection = await self._server.connect()
        connection.add_termination_listener(self._when_lost)
        await connection.execute(f"SELECT pg_advisory_lock_shared({IN_USE})")
        await connection.add_listener(CHANNEL, self._when_said)

    def _when_lost(self, connection: object) -> None:
        if connection is self._connection:
            self._lost.set()

    def _when_said(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        speaker, _, text = str(payload).partition(" ")
        self._heard(speaker, text)

    async def _stay(self) -> None:
        while True:
            await self._until_lost()
            self._hang_up()
            log.warning("database_announcements_lost")
            await self._again()
            log.info("database_announcements_heard_again")
            self._heard(MISSED, MISSED)

    async def _until_lost(self) -> None:
        while not self._lost.is_set():
            try:
                await asyncio.wait_for(self._lost.wait(), PULSE_S)
            except TimeoutError:
                assert self._connection is not None
                try:
                    await self._connection.execute("SELECT 1", timeout=PULSE_S / 2)
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    return

    async def _again(self) -> None:
        pause = 0.05
        while True:
            try:
                await self._listen()
            except Exception as error:
                self._hang_up()
                if reason_to_retry(error) is None:
                    log.warning("database_listening_failed kind=%s", type(error).__name__)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
