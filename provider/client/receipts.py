"""Receipts of jobs, as the provider signed them."""

from __future__ import annotations

from provider.auth import messages
from provider.client.assets import AssetCalls
from provider.client.errors import NotAuthorisedError
from provider.client.transport import read_bytes
from provider.client.wallet import Call

MOST_BYTES = 256 << 20


class ReceiptCalls(AssetCalls):
    """The call for a receipt; :mod:`provider.receipts.verifying` tells what it is worth."""

    async def receipt(self, job_id: str) -> bytes:
        """The receipt of a job that is over, byte for byte. Raises NotFoundError."""
        try:
            return await self._patience.persist(lambda: self._unsigned(job_id))
        except NotAuthorisedError:
            return await self._patience.persist(lambda: self._signed(job_id))

    async def _unsigned(self, job_id: str) -> bytes:
        question = self._calls.transport.open("computeReceipt", query={"jobId": job_id})
        async with question as response:
            return await read_bytes(response, MOST_BYTES)

    async def _signed(self, job_id: str) -> bytes:
        call = Call(
            "computeReceipt",
            {"consumerAddress": self.address, "jobId": job_id},
            lambda nonce: messages.receipt_text(self.address, job_id, nonce),
            job_id,
        )
        async with self._calls.open(call) as response:
            return await read_bytes(response, MOST_BYTES)
