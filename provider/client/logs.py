"""A job's log as it grows, each byte once.

The provider counts bytes from the log's beginning, so after a break the next request asks for
the rest. An answer that ends well is complete; one that breaks off, falls silent for long, or
is ended by a restart of the provider is gone on with, newly signed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from aiohttp import ClientResponse

from provider.auth import messages
from provider.client.errors import (
    AnswerNotUnderstoodError,
    NotFoundError,
    ProviderBusyError,
    ProviderUnreachableError,
)
from provider.client.patience import Patience
from provider.client.signed import SignedCalls
from provider.client.transport import network_errors
from provider.client.wallet import Call

OPERATION = "computeStreamableLogs"
OFFSET_HEADER = "X-Log-Offset"

TRIES = 60
"""How often in a row the provider may be out of reach: about two minutes."""


class LogStream:
    """The log of one job, or of one stage of it."""

    def __init__(
        self, calls: SignedCalls, patience: Patience, job_id: str, stage: str, *, follow: bool
    ) -> None:
        self._calls = calls
        self._patience = patience
        self._job_id = job_id
        self._stage = stage
        self._follow = follow
        self._position = 0
        self._failures = 0
        self._begun = False

    async def pieces(self, offset: int) -> AsyncGenerator[bytes, None]:
        """From byte ``offset`` to the end."""
        self._position = offset
        pauses = self._patience.pauses()
        while True:
            try:
                async with self._calls.open(self._call()) as response:
                    self._check(response)
                    self._failures, self._begun = 0, True
                    pauses = self._patience.pauses()
                    async for piece in _received(response):
                        self._position += len(piece)
                        yield piece
            except (ProviderUnreachableError, ProviderBusyError) as error:
                # After a break the provider may not have noticed yet that a place is free.
                self._failures += 1
                most = TRIES if self._begun else self._patience.attempts
                busy = isinstance(error, ProviderBusyError) and not self._begun
                if busy or self._failures >= most:
                    raise
                await self._patience.sleep(next(pauses))
            else:
                return

    def _check(self, response: ClientResponse) -> None:
        if response.status == 416:
            raise NotFoundError(
                f"The log of job {self._job_id} ends before byte {self._position}.", status=416
            )
        told = response.headers.get(OFFSET_HEADER, "0")
        if told != str(self._position):
            raise AnswerNotUnderstoodError(
                "The provider sent another part of the log than was asked for."
            )

    def _call(self) -> Call:
        address, job_id = self._calls.address, self._job_id
        parameters = {
            "consumerAddress": address,
            "jobId": job_id,
            "offset": str(self._position),
            "follow": "true" if self._follow else "false",
        }
        if self._stage:
            parameters["stage"] = self._stage
        return Call(
            OPERATION,
            parameters,
            lambda nonce: messages.log_text(address, job_id, nonce),
            job_id,
            headers={"Accept-Encoding": "identity"},
        )


async def _received(response: ClientResponse) -> AsyncGenerator[bytes, None]:
    with network_errors():
        async for piece in response.content.iter_any():
            yield piece
