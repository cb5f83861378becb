"""Other providers: services whose files are kept by somebody else's key.

Such a provider is asked as any client asks it, over the API that this service speaks too,
and signs with this service's own wallet: files come to the wallet that ordered them. Its
address stands in a stranger's document, so it is read through the guarded fetcher, and its
answers are bounded and believed in nothing but what they are about.

Providers take each wallet's nonces in ascending order. So requests that spend one are sent
one after another, by all processes of an installation: the next starts when the headers of the
last one's answer are there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from compute.errors import InputUnavailable, StoreUnavailable
from compute.supply import Download
from provider.assets.fetch import Answer, Fetcher
from provider.assets.origins.base import Part, SourceFile
from provider.assets.origins.http import HttpOrigin, HttpRequest, with_query
from provider.assets.remote_answers import (
    RemoteFileInfo,
    file_infos,
    json_object,
    paths,
    refusal,
)
from provider.auth import messages
from provider.auth.signatures import personal_digest
from provider.keys import ProviderKey
from provider.sharing.leases import Leases

ANSWER_S = 20.0
ENDPOINTS_S = 300.0
MAX_ANSWER_BYTES = 1 << 20
MAX_DOCUMENT_BYTES = 4 << 20
MAX_REFUSAL_BYTES = 1 << 16
REMEMBERED_PROVIDERS = 64
TOLD = frozenset({400, 403, 404})

_DEFAULT_PORTS = {"http": 80, "https": 443}

Clock = Callable[[], float]


class Nonces:
    """Ever greater numbers, nanoseconds since the epoch: what providers have seen of a
    wallet before is below them, whichever unit it was in."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._last = 0

    @property
    def last(self) -> int:
        return self._last

    def next(self) -> str:
        self._last = max(self._now_ns(), self._last + 1)
        return str(self._last)

    def go_on_from(self, number: int) -> None:
        """Have the next one be greater than ``number``."""
        self._last = max(self._last, number)


class RemoteProvider:
    """One provider, by the base URL that services name. Has no repr that tells it.

    All methods raise InputUnavailable: temporary for what may pass, final for a refusal.
    """

    def __init__(
        self,
        url: str,
        fetcher: Fetcher,
        key: ProviderKey,
        *,
        nonces: Nonces | None = None,
        leases: Leases | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._base = url.rstrip("/")
        self._fetcher = fetcher
        self._key = key
        self._nonces = nonces or Nonces()
        self._clock = clock
        self._one = asyncio.Lock()
        self._leases = leases
        self._endpoints: tuple[float, Mapping[str, str]] | None = None

    async def endpoints(self) -> Mapping[str, str]:
        """The paths of its API by lower-case name, as its root document has them; kept for
        some minutes."""
        if self._endpoints is None or self._clock() - self._endpoints[0] > ENDPOINTS_S:
            async with _in_time():
                _, body = await self._fetcher.read(self._base, max_bytes=MAX_ANSWER_BYTES)
            self._endpoints = self._clock(), paths(json_object(body).get("serviceEndpoints"))
        return self._endpoints[1]

    async def fileinfo(
        self,
        did: str,
        service_id: str,
        *,
        checksum: bool = True,
        userdata: Mapping[str, Any] | None = None,
    ) -> list[RemoteFileInfo]:
        """The files of a service, in order; an error when one of them is not valid."""
        question: dict[str, Any] = {"did": did, "serviceId": service_id}
        if checksum:
            question["checksum"] = True
        if userdata:
            question["userdata"] = dict(userdata)
        url = await self._url("fileinfo")
        return file_infos(await self._asked(url, {200}, question))

    async def initialize(
        self, did: str, service_id: str, consumer: str, **more: object
    ) -> dict[str, Any]:
        """Its quote for ordering a service, exactly as it gives it. ``more`` are further
        parameters of the API (``transferTxId``, ``fileIndex``, ``environment``, …)."""
        fields = {"documentId": did, "serviceId": service_id, "consumerAddress": consumer}
        url = with_query(await self._url("initialize"), {**more, **fields})
        return json_object(await self._asked(url, {200}))

    async def decrypt(self, chain_id: int, nft: str, tx: str) -> bytes:
        """The document that a metadata event of this transaction carries, opened."""
        url = await self._url("decrypt")
        async with self.turn():
            nonce = self._nonces.next()
            text = messages.decrypt_text(tx, self._key.address, str(chain_id), nonce)
            question = {
                "transactionId": tx,
                "chainId": chain_id,
                "dataNftAddress": nft,
                "decrypterAddress": self._key.address,
                "nonce": nonce,
                "signature": self._signed(text),
            }
            return await self._asked(url, {200, 201}, question, MAX_DOCUMENT_BYTES)

    async def files(
        self,
        did: str,
        service_id: str,
        *,
        order: str,
        userdata: Mapping[str, Any],
        identity: Callable[[object, Mapping[str, Any]], str],
    ) -> list[SourceFile]:
        """The files of a service that this service's wallet ordered with transaction
        ``order``. What came with one order is not kept for another: whether that one is good
        is for the other provider to say."""
        infos = await self.fileinfo(did, service_id, checksum=False, userdata=userdata)
        files: list[SourceFile] = []
        for index, info in enumerate(infos):
            digest = identity(["remote", self._base, did, service_id, index, order], userdata)
            fields = {
                "documentId": did,
                "serviceId": service_id,
                "fileIndex": index,
                "transferTxId": order,
            }
            if userdata:
                fields["userdata"] = json.dumps(dict(userdata))
            files.append(RemoteOrigin(self, fields, name=info.name, identity=digest))
        return files

    async def download_request(self, fields: Mapping[str, Any]) -> HttpRequest:
        """A signed request for a file, good for one time. To be sent in one's ``turn``."""
        nonce = self._nonces.next()
        own = {
            "consumerAddress": self._key.address,
            "nonce": nonce,
            "signature": self._signed(messages.download_text(fields["documentId"], nonce)),
        }
        return HttpRequest(with_query(await self._url("download"), {**fields, **own}))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Held from making a nonce until the headers of the answer are there. Clocks differ,
        so whoever has the turn next goes on from the nonces of this one."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._one)
            if self._leases is None:
                yield
                return
            name = f"remote:{hashlib.sha256(self._base.encode()).hexdigest()}"
            try:
                held = await stack.enter_async_context(self._leases.hold(name))
            except StoreUnavailable:
                raise InputUnavailable(
                    "The provider's database does not answer.", temporary=True
                ) from None
            self._nonces.go_on_from(held.number)
            try:
                yield
            finally:
                held.number = self._nonces.last

    @property
    def fetcher(self) -> Fetcher:
        return self._fetcher

    def _signed(self, text: str) -> str:
        return self._key.sign_digest(personal_digest(text))

    async def _url(self, name: str) -> str:
        path = (await self.endpoints()).get(name.lower())
        if path is None:
            raise InputUnavailable(f"The other provider of this asset does not offer {name}.")
        return self._base + path

    async def _asked(
        self,
        url: str,
        accepted: set[int],
        question: Mapping[str, Any] | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> bytes:
        body = None if question is None else json.dumps(question).encode()
        async with _in_time():
            status, answer = await self._fetcher.read(
                url,
                max_bytes=max_bytes,
                method="GET" if body is None else "POST",
                headers={} if body is None else {"Content-Type": "application/json"},
                body=body,
                accepted=accepted | TOLD,
            )
        if status not in accepted:
            raise InputUnavailable(refusal(status, answer))
        return answer


class RemoteOrigin(HttpOrigin):
    """A file that another provider hands out. Why it does not is told in its words.

    Asked for whole each time: providers answer no questions about what changed.
    """

    def __init__(
        self, provider: RemoteProvider, fields: Mapping[str, Any], *, name: str, identity: str
    ) -> None:
        async def make() -> HttpRequest:
            return await provider.download_request(fields)

        super().__init__(
            provider.fetcher, "remote", make, name=name or identity[:16], identity=identity
        )
        self._provider = provider

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        async with self.part() as part:
            yield Download(False, part.validator, part.size, part.chunks)

    @asynccontextmanager
    async def part(
        self, range_: str | None = None, *, if_range: str | None = None
    ) -> AsyncIterator[Part]:
        async with AsyncExitStack() as stack:
            async with self._provider.turn():
                part = await stack.enter_async_context(super().part(range_, if_range=if_range))
            yield part

    @asynccontextmanager
    async def _exchange(
        self, asked: HttpRequest, wanted: Mapping[str, str]
    ) -> AsyncIterator[Answer]:
        accepted = {200, 206, 416} if wanted else {200}
        async with self._fetcher.exchange(
            asked.url, conditions=wanted, accepted=accepted | TOLD
        ) as answer:
            if answer.status in TOLD:
                raise InputUnavailable(refusal(answer.status, await _beginning(answer)))
            yield answer


class Remotes:
    """The other providers that were asked lately, by the endpoint that services name."""

    def __init__(
        self,
        fetcher: Fetcher,
        key: ProviderKey,
        *,
        leases: Leases | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._fetcher = fetcher
        self._key = key
        self._leases = leases
        self._clock = clock
        self._nonces = Nonces()
        self._known: OrderedDict[str, RemoteProvider] = OrderedDict()

    def at(self, endpoint: str) -> RemoteProvider:
        base = endpoint.rstrip("/")
        if base not in self._known:
            self._known[base] = RemoteProvider(
                base,
                self._fetcher,
                self._key,
                nonces=self._nonces,
                leases=self._leases,
                clock=self._clock,
            )
        self._known.move_to_end(base)
        while len(self._known) > REMEMBERED_PROVIDERS:
            self._known.popitem(last=False)
        return self._known[base]


def is_own(endpoint: str, own_urls: Sequence[str]) -> bool:
    """Whether a service's endpoint is this provider: it names none, or scheme, host and
    port of one of ``own_urls``."""
    if not endpoint.strip():
        return True
    origin = _origin(endpoint)
    return origin is not None and origin in {_origin(url) for url in own_urls}


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url.strip())
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname.rstrip("."), port) if parts.hostname else None


async def _beginning(answer: Answer) -> bytes:
    """As much of a refusal as is worth reading."""
    content = b""
    async with _in_time():
        async for chunk in answer.chunks:
            content += chunk
            if len(content) > MAX_REFUSAL_BYTES:
                break
    return content


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except TimeoutError:
        failure = InputUnavailable(
            "The other provider of this asset took too long.", temporary=True
        )
    else:
        return
    raise failure
