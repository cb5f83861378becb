"""What every call of the client shares: one provider, one wallet, one HTTP session."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from aiohttp import ClientSession

from provider.auth.publickeys import public_key_of
from provider.client.downloads import Download, Opener, Progress, file_sha256
from provider.client.errors import ClientUsageError, DownloadFailedError
from provider.client.patience import Patience
from provider.client.signed import SignedCalls
from provider.client.transport import TIMEOUT, Transport, base_url
from provider.client.wallet import Key, Wallet, load_signer, private_key_of

NOT_OPENED = "Use the client in 'async with ComputeClient(…) as client:'."


class Options(TypedDict, total=False):
    """What may be said when a client is made; its meaning is told there."""

    session: ClientSession | None
    typed: bool
    chain_id: int | None
    patience: Patience | None
    metadata_url: str


class ProviderSession:
    """A wallet at a provider, while it is open."""

    def __init__(self, url: str, key: Key, **options: Unpack[Options]) -> None:
        self._url = base_url(url)
        self._metadata_url = base_url(options.get("metadata_url") or url)
        self._wallet = Wallet(load_signer(key), typed=options.get("typed", False))
        self._session = options.get("session")
        self._chain_id = options.get("chain_id")
        self._patience = options.get("patience") or Patience()
        self._stack = AsyncExitStack()
        self._opened: SignedCalls | None = None

    @property
    def address(self) -> str:
        """The wallet's address, checksummed."""
        return self._wallet.address

    @property
    def public_key(self) -> str:
        """The wallet's own, which jobs' results can be encrypted to. Raises ClientUsageError
        where the wallet does not give its private key away."""
        return public_key_of(private_key_of(self._wallet.signer))

    async def __aenter__(self) -> Self:
        session = self._session
        if session is None:
            session = await self._stack.enter_async_context(ClientSession(timeout=TIMEOUT))
        transport = Transport(self._url, session)
        self._opened = SignedCalls(transport, self._wallet, self._patience, self._chain_id)
        self._begin(self._opened)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened = None
        await self._stack.aclose()

    def _begin(self, calls: SignedCalls) -> None:
        """What else starts with the session."""

    async def provider(self) -> dict[str, Any]:
        """The provider's root document: software, version, addresses, serviceEndpoints."""
        return await self._patience.persist(self._calls.transport.root)

    async def offers(self, operation: str) -> bool:
        """Whether the provider offers an operation, by its name in ``serviceEndpoints``."""
        return await self._patience.persist(lambda: self._calls.transport.offers(operation))

    async def nonce(self) -> int:
        """The last nonce of this wallet that the provider has seen."""
        return await self._patience.persist(self._calls.last_nonce)

    @property
    def _calls(self) -> SignedCalls:
        if self._opened is None:
            raise ClientUsageError(NOT_OPENED)
        return self._opened

    async def _ask(
        self,
        operation: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer to a question that needs no signature."""
        transport = self._calls.transport
        return await self._patience.persist(
            lambda: transport.json(operation, query=query, body=body)
        )

    async def _bring(
        self,
        opener: Opener,
        path: Path,
        sha256: str,
        progress: Progress,
        *,
        overwrite: bool,
        most_bytes: int | None = None,
    ) -> Path:
        """A file to disk, unless it is there already."""
        if not overwrite and await asyncio.to_thread(path.exists):
            return await asyncio.to_thread(kept, path, sha256)
        download = Download(opener, path, sha256, self._patience, progress, most_bytes=most_bytes)
        return await download.run()


def no_progress(done: int, total: int | None) -> None:
    """For those who do not want to be told."""


def kept(path: Path, sha256: str) -> Path:
    """The file that is already there, if it is this one. Raises DownloadFailedError."""
    compared = bool(sha256) and path.is_file()
    if compared and file_sha256(path) == sha256:
        return path
    what = "exists already and is another file" if compared else "exists already"
    raise DownloadFailedError(f"{path} {what}. Choose another folder, or replace it (--overwrite).")
