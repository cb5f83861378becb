"""Starting a job at most once, over a network that loses answers.

When an answer is lost, nobody here knows whether the job was started. The very same
signed request is then sent again: the provider consumes a nonce once, together with the
job, so at most one of the copies can start it.

- A copy is accepted: the first never was.
- A copy is refused for its nonce: either the first was accepted, then the job is in the
  list of this wallet's jobs; or another program used a greater nonce, then no copy will
  ever be accepted, and starting anew is safe.
- No copy is answered: the start is reported as unclear. Where each copy was answered with
  "not now" (429, 503), that answer is reported instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from provider.client.errors import (
    ComputeClientError,
    NonceRefusedError,
    ProviderBusyError,
    ProviderFaultError,
    ProviderUnreachableError,
    StartUnclearError,
)
from provider.client.models import Job
from provider.client.patience import Patience
from provider.client.signed import SignedCalls
from provider.client.transport import read_json
from provider.client.wallet import Call

_ROUNDS = 3
_NOT_NOW = 503
_UNCLEAR = (
    "The provider may or may not have started the job: it may have got the request, but its"
    " answer did not arrive. It was not started twice. Look at the list of your jobs before"
    " trying again."
)


class Starter:
    """Starts jobs, one after the other. ``jobs`` lists the wallet's jobs."""

    def __init__(
        self,
        calls: SignedCalls,
        jobs: Callable[[], Awaitable[list[Job]]],
        patience: Patience,
    ) -> None:
        self._calls = calls
        self._jobs = jobs
        self._patience = patience
        self._one_at_a_time = asyncio.Lock()
        self._known: set[str] = set()

    async def start(self, call: Call) -> Job:
        """Start the job of this call. Raises StartUnclearError, or what the provider refuses."""
        async with self._one_at_a_time:
            job = await self._start(call)
            self._known.add(job.id)
            return job

    async def _start(self, call: Call) -> Job:
        for remaining in reversed(range(_ROUNDS)):
            await self._patience.persist(self._calls.transport.root)
            since = self._calls.transport.server_time()
            attempt = _Attempt(self._calls, call, self._patience)
            try:
                return await attempt.run(ask_again=remaining < _ROUNDS - 1)
            except NonceRefusedError:
                if attempt.unclear and (job := await self._find(call, since)):
                    return job
                if not remaining:
                    raise
        raise AssertionError("the last round returns or raises")

    async def _find(self, call: Call, since: float) -> Job | None:
        """The job that a lost answer spoke of, if it exists."""
        try:
            jobs = await self._jobs()
        except ComputeClientError as error:
            raise _unclear(error) from error
        found = [job for job in jobs if self._may_be(job, call.parameters, since)]
        if len(found) > 1:
            raise StartUnclearError(_UNCLEAR, candidates=tuple(job.id for job in found))
        return found[0] if found else None

    def _may_be(self, job: Job, wanted: Any, since: float) -> bool:
        dids = job.raw.get("inputDID") or [job.raw.get("documentId")]
        return (
            job.id not in self._known
            and (job.created or 0.0) >= since
            and job.environment in ("", wanted["environment"])
            and wanted["dataset"]["documentId"] in dids
            and (job.raw.get("algoDID") or "") in ("", wanted["algorithm"].get("documentId", ""))
        )


class _Attempt:
    """One signed request, sent until it is answered.

    ``unclear`` once a copy of it may have been received without being refused for good:
    then a refused nonce may mean that there is a job. ``lost`` once an answer failed to
    come or told nothing: then giving up leaves it open whether there is one.
    """

    def __init__(self, calls: SignedCalls, call: Call, patience: Patience) -> None:
        self._calls = calls
        self._call = call
        self._patience = patience
        self.unclear = False
        self.lost = False

    async def run(self, *, ask_again: bool) -> Job:
        async with self._calls.lock:
            parameters = await self._patience.persist(
                lambda: self._calls.sign(self._call, ask_again=ask_again)
            )
            pauses = self._patience.pauses()
            for _ in range(self._patience.attempts - 1):
                try:
                    return await self._send(parameters)
                except (ProviderUnreachableError, ProviderFaultError, ProviderBusyError) as error:
                    self._weigh(error)
                await self._patience.sleep(next(pauses))
            return await self._last(parameters)

    async def _last(self, parameters: dict[str, Any]) -> Job:
        try:
            return await self._send(parameters)
        except (ProviderUnreachableError, ProviderFaultError, ProviderBusyError) as error:
            self._weigh(error)
            if self.lost:
                raise _unclear(error) from error
            raise

    def _weigh(self, error: ComputeClientError) -> None:
        """Being busy is a clear no, unless an earlier copy may have got through."""
        if isinstance(error, ProviderBusyError) and not self.unclear:
            raise error
        unclear = isinstance(error, ProviderFaultError) or (
            isinstance(error, ProviderUnreachableError) and error.maybe_received
        )
        self.unclear = self.unclear or unclear
        self.lost = self.lost or (unclear and error.status != _NOT_NOW)

    async def _send(self, parameters: dict[str, Any]) -> Job:
        async with self._calls.send(self._call, parameters) as response:
            answer = await read_json(response)
        return Job.from_wire(answer[0] if isinstance(answer, list) and answer else answer)


def _unclear(error: ComputeClientError) -> StartUnclearError:
    """What is not known, and what the last try brought."""
    return StartUnclearError(f"{_UNCLEAR} The last try: {error}")
