"""Signed calls of one wallet at one provider.

From taking a nonce until the provider has answered, one lock is held: a greater nonce
never overtakes a smaller one, whatever tasks of this client do. Another program with the
same wallet still may; then the provider is asked for its nonce and the call is made
again, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import ClientResponse

from provider.client.errors import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    NonceRefusedError,
)
from provider.client.patience import Patience
from provider.client.transport import Transport, read_json
from provider.client.wallet import Call, Domain, NonceCounter, Wallet


class SignedCalls:
    """Signs and sends. ``chain_id`` chooses the chain of typed signatures."""

    def __init__(
        self, transport: Transport, wallet: Wallet, patience: Patience, chain_id: int | None
    ) -> None:
        self.transport = transport
        self.lock = asyncio.Lock()
        self._wallet = wallet
        self._patience = patience
        self._chain_id = chain_id
        self._nonces = NonceCounter(self.last_nonce)

    @property
    def address(self) -> str:
        """The wallet's address, checksummed."""
        return self._wallet.address

    async def last_nonce(self) -> int:
        """The last nonce of this wallet that the provider has seen, in one try."""
        query = {"userAddress": self._wallet.address}
        answer = await self.transport.json("nonce", query=query)
        try:
            return int(answer["nonce"] or 0)
        except (TypeError, KeyError, ValueError):
            raise AnswerNotUnderstoodError("The provider's answer holds no nonce.") from None

    async def sign(self, call: Call, *, ask_again: bool = False) -> dict[str, Any]:
        """The call's parameters, signed with a new nonce. The caller holds the lock."""
        domain = await self._domain() if self._wallet.typed else None
        nonce = await self._nonces.next(ask_again=ask_again)
        return self._wallet.sign(call, nonce, domain)

    def send(
        self, call: Call, parameters: dict[str, Any]
    ) -> AbstractAsyncContextManager[ClientResponse]:
        """One request with signed parameters."""
        if call.as_body:
            return self.transport.open(call.operation, body=parameters, headers=call.headers)
        return self.transport.open(call.operation, query=parameters, headers=call.headers)

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[ClientResponse]:
        """Sign and send, once; only a refused nonce is tried again."""
        async with AsyncExitStack() as stack:
            async with self.lock:
                sent = self.send(call, await self.sign(call))
                try:
                    response = await stack.enter_async_context(sent)
                except NonceRefusedError:
                    sent = self.send(call, await self.sign(call, ask_again=True))
                    response = await stack.enter_async_context(sent)
            yield response

    async def json(self, call: Call) -> Any:
        """The answer to a call that may be repeated, signed anew each time."""

        async def attempt() -> Any:
            async with self.open(call) as response:
                return await read_json(response)

        return await self._patience.persist(attempt)

    async def _domain(self) -> Domain:
        """Whom typed signatures are for, by the provider's root document."""
        root = await self.transport.root()
        addresses = root.get("providerAddresses") or {}
        chains = root.get("chainIds") or []
        chain_id = self._chain_id
        if chain_id is None and chains:
            chain_id = int(chains[0])
        address = addresses.get(str(chain_id)) or root.get("providerAddress")
        if not address and chain_id is None:
            address = next(iter(addresses.values()), None)
        if not address:
            raise ClientUsageError("This provider tells no address that could be signed for.")
        return Domain(str(address), chain_id)
