"""The engine's stream of exits, from a thread into the event loop.

The stream is asked for a few seconds back in time: the engine answers before it listens
to itself, and what happened in between would else be lost. A line may so come twice.
A stream that says nothing for ``SILENCE_S`` is opened anew, because an engine that hangs
looks the same as one that is idle.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import requests
from docker import APIClient

from compute.engines.base import JOB_LABEL, OPERATOR_LABEL
from compute.engines.docker.calls import Answer, Calls, CutOff, request

log = logging.getLogger(__name__)

SILENCE_S = 120.0
LOOK_BACK_S = 5
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
STEADY_S = 5.0
LEAVE_S = 2.0


class EventReader:
    """One listener: a thread that reads, a queue that the event loop drains."""

    def __init__(self, calls: Calls, operator_id: str) -> None:
        self._calls = calls
        self._operator_id = operator_id
        self._answer = Answer()
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._body, name="docker-events", daemon=True)

    async def job_ids(self) -> AsyncGenerator[str, None]:
        """Job ids as containers exit, "" after each connection; ends when stopped."""
        self._thread.start()
        try:
            while (job_id := await self._queue.get()) is not None:
                yield job_id
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End the thread. One that is just connecting ends by its own time-out."""
        self._answer.cut()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._ended.wait()
                self._thread.join()

    def _body(self) -> None:
        try:
            self._read_for_ever()
        except CutOff:
            pass
        finally:
            self._send(None)
            self._call(self._ended.set)

    def _read_for_ever(self) -> None:
        delay = FIRST_DELAY_S
        while not self._answer.is_cut:
            since = time.monotonic()
            try:
                self._read_once()
            except CutOff:
                raise
            except Exception as error:  # the listener must outlive whatever the engine does
                level = logging.WARNING if delay == FIRST_DELAY_S else logging.DEBUG
                log.log(level, "events.broken reason=%s", type(error).__name__)
            if time.monotonic() - since > STEADY_S:
                delay = FIRST_DELAY_S
            self._answer.wait(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)

    def _read_once(self) -> None:
        with self._calls.fresh() as client:
            lines = self._answer.lines(self._open(client))
            log.info("events.connected")
            self._send("")
            for line in lines:
                if job_id := _job_id(line):
                    self._send(job_id)

    def _open(self, client: APIClient) -> requests.Response:
        filters = {
            "type": ["container"],
            "event": ["die"],
            "label": [f"{OPERATOR_LABEL}={self._operator_id}"],
        }
        since = int(time.time()) - LOOK_BACK_S
        params = {"filters": json.dumps(filters), "since": str(since)}
        return request(client, "GET", "/events", params=params, silence_s=SILENCE_S)

    def _send(self, item: str | None) -> None:
        self._call(lambda: self._queue.put_nowait(item))

    def _call(self, action: Callable[[], None]) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action)


def _job_id(line: bytes) -> str:
    try:
        attributes = json.loads(line)["Actor"]["Attributes"]
        return str(attributes[JOB_LABEL])
    except (ValueError, KeyError, TypeError):
        return ""
