"""Documents sealed by another provider: asked of that one, patiently, and not believed."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest
from publishing_chain import (
    CHAIN_ID,
    ELSEWHERE,
    OTHER_KEY,
    Follow,
    PublishingChain,
    address,
    document,
    entry_of,
    shown,
)

from compute.errors import InputUnavailable
from provider.assets.index.opening import MAX_ATTEMPTS, NEVER_OPENED, SEALED_ELSEWHERE
from provider.assets.index.store import IndexStore
from provider.errors import ProviderError


class OtherProvider:
    """Answers with ``content``, or fails while it is None."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.failure: Exception = InputUnavailable("down", temporary=True)
        self.asked: list[dict[str, object]] = []

    async def __call__(self, **asked: object) -> bytes:
        self.asked.append(asked)
        if self.content is None:
            raise self.failure
        return self.content


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def other() -> OtherProvider:
    return OtherProvider()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sealed(published_on: PublishingChain) -> str:
    nft = published_on.deploy(address("sealed"))
    published_on.emit(nft, document(nft), flags=3, key=OTHER_KEY, decryptor_url=ELSEWHERE)
    return nft


async def test_the_other_provider_opens_it(
    follow: Follow, store: IndexStore, other: OtherProvider, sealed: str
) -> None:
    other.content = json.dumps(document(sealed)).encode()
    follower = follow(ask=other)
    await follower.sync()
    entry = await shown(store, sealed)
    assert (entry.version.document, entry.version.problem) == (None, SEALED_ELSEWHERE)
    await follower.reask_due()
    entry = await shown(store, sealed)
    assert entry.version.problem == ""
    assert json.loads(entry.version.document or "") == document(sealed)
    assert entry.version.kind == "dataset"
    assert other.asked == [
        {"url": ELSEWHERE, "chain_id": CHAIN_ID, "nft": sealed, "tx": entry.version.tx}
    ]
    await follower.reask_due()
    assert len(other.asked) == 1


@pytest.mark.parametrize(
    "content", [b"{}", b"", json.dumps(document(address("another"))).encode()], ids=len
)
async def test_what_it_answers_must_have_the_hash(
    follow: Follow, store: IndexStore, other: OtherProvider, sealed: str, content: bytes
) -> None:
    other.content = content
    follower = follow(ask=other)
    await follower.sync()
    await follower.reask_due()
    entry = await shown(store, sealed)
    assert (entry.version.document, entry.version.problem) == (None, SEALED_ELSEWHERE)
    assert entry.version.attempts == 1


@pytest.mark.parametrize(
    "failure", [InputUnavailable("down", temporary=True), ProviderError("Not authorized")], ids=str
)
async def test_it_is_asked_again_at_growing_intervals(
    follow: Follow,
    store: IndexStore,
    other: OtherProvider,
    clock: Clock,
    sealed: str,
    failure: Exception,
) -> None:
    other.failure = failure
    follower = follow(ask=other, now=clock)
    await follower.sync()
    waits = []
    for _ in range(MAX_ATTEMPTS + 3):
        await follower.reask_due()
        retry_at = (await shown(store, sealed)).version.retry_at
        if retry_at is None:
            break
        waits.append(retry_at - clock.now)
        clock.now = retry_at - 1
        await follower.reask_due()
        clock.now = retry_at
    assert len(other.asked) == MAX_ATTEMPTS
    assert waits == sorted(waits)
    assert waits[0] == 60
    assert waits[-1] == 24 * 3600
    assert (await shown(store, sealed)).version.problem == NEVER_OPENED


async def test_it_is_asked_while_following(
    follow: Follow, store: IndexStore, other: OtherProvider, sealed: str
) -> None:
    other.content = json.dumps(document(sealed)).encode()
    running = asyncio.create_task(follow(ask=other).run())
    async with asyncio.timeout(90):
        while (entry := await entry_of(store, sealed)) is None or entry.version.document is None:
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_restart_asks_on(
    follow: Follow, store: IndexStore, other: OtherProvider, clock: Clock, sealed: str
) -> None:
    first = follow(ask=other, now=clock)
    await first.sync()
    await first.reask_due()
    other.content = json.dumps(document(sealed)).encode()
    clock.now += 61
    await follow(ask=other, now=clock).reask_due()
    assert (await shown(store, sealed)).version.problem == ""


async def test_an_answer_that_comes_after_a_reorganisation_is_dropped(
    follow: Follow,
    store: IndexStore,
    other: OtherProvider,
    published_on: PublishingChain,
    sealed: str,
) -> None:
    follower = follow(ask=other)
    await follower.sync()
    (due,) = await store.due(CHAIN_ID, 1000.0, 10)
    published_on.chain.reorganise(1)
    published_on.emit(sealed, document(sealed, version="4.9.0"), flags=0)
    await follower.sync()
    await store.settle(due)
    entry = await shown(store, sealed)
    assert "4.9.0" in (entry.version.document or "")
    assert await store.due(CHAIN_ID, 1000.0, 10) == []


async def test_many_are_asked_in_turn(
    follow: Follow, store: IndexStore, other: OtherProvider, published_on: PublishingChain
) -> None:
    for number in range(11):
        nft = published_on.deploy(address(number))
        published_on.emit(nft, document(nft), flags=2, key=OTHER_KEY, decryptor_url=ELSEWHERE)
    follower = follow(ask=other)
    await follower.sync()
    await follower.reask_due()
    assert len({str(asked["nft"]) for asked in other.asked}) == len(other.asked) == 11


async def test_who_names_no_provider_is_not_asked_for(
    follow: Follow, store: IndexStore, other: OtherProvider, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("a"))
    published_on.emit(nft, document(nft), flags=2, key=OTHER_KEY)
    follower = follow(ask=other)
    await follower.sync()
    await follower.reask_due()
    assert other.asked == []
    assert (await shown(store, nft)).version.problem == "Failed to decrypt."


async def test_odd_addresses_of_providers_are_kept_in_bounds(
    follow: Follow, store: IndexStore, other: OtherProvider, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("a"))
    url = "\0http://a\0" + "b" * 100_000
    published_on.emit(nft, document(nft), flags=2, key=OTHER_KEY, decryptor_url=url)
    await follow(ask=other).sync()
    kept = (await shown(store, nft)).version.decryptor_url
    assert kept.startswith("http://ab")
    assert len(kept) == 2048


class SilentHosts:
    """Never answers for some hosts, at once for others; notes who is asked, and with whom."""

    def __init__(self, silent: set[str]) -> None:
        self.silent = silent
        self.asked: list[str] = []
        self.asking: list[str] = []
        self.twice = False

    async def __call__(self, *, url: str, chain_id: int, nft: str, tx: str) -> bytes:
        self.twice = self.twice or url in self.asking
        self.asked.append(nft)
        self.asking.append(url)
        try:
            if url in self.silent:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            return json.dumps(document(nft)).encode()
        finally:
            self.asking.remove(url)


async def _opened(store: IndexStore, nft: str) -> None:
    async with asyncio.timeout(90):
        while (await shown(store, nft)).version.document is None:
            await asyncio.sleep(0.01)


async def test_a_silent_provider_holds_up_only_its_own(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    silent = "https://silent.example"
    for number in range(60):
        nft = published_on.deploy(address(number))
        published_on.emit(nft, document(nft), flags=2, key=OTHER_KEY, decryptor_url=silent)
    honest = []
    for number in range(5):
        nft = published_on.deploy(address(f"honest {number}"))
        published_on.emit(nft, document(nft), flags=2, key=OTHER_KEY, decryptor_url=ELSEWHERE)
        honest.append(nft)
    ask = SilentHosts({silent})
    follower = follow(ask=ask)
    await follower.sync()
    running = asyncio.create_task(follower.reask_due())
    for nft in honest:
        await _opened(store, nft)
    late = published_on.deploy(address("late"))
    url = "https://third.example"
    published_on.emit(late, document(late), flags=2, key=OTHER_KEY, decryptor_url=url)
    await follower.sync()
    await _opened(store, late)
    assert not ask.twice
    assert ask.asking == [silent]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert ask.asking == []


async def test_only_an_assets_newest_document_is_asked_for(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("a"))
    ask = SilentHosts(set())
    follower = follow(ask=ask)
    for number in range(10):
        published_on.emit(
            nft,
            document(nft, version=f"4.{number}.0") if number < 9 else document(nft),
            flags=2,
            key=OTHER_KEY,
            decryptor_url=f"https://host{number}.example",
        )
        if number % 4 == 0:
            await follower.sync()
    await follower.sync()
    await follower.reask_due()
    assert ask.asked == [nft]
    assert (await shown(store, nft)).version.problem == ""


async def test_what_was_asked_for_least_comes_first(
    follow: Follow,
    store: IndexStore,
    other: OtherProvider,
    clock: Clock,
    published_on: PublishingChain,
    sealed: str,
) -> None:
    follower = follow(ask=other, now=clock)
    await follower.sync()
    await follower.reask_due()
    clock.now += 3600
    new = published_on.deploy(address("new"))
    published_on.emit(new, document(new), flags=2, key=OTHER_KEY, decryptor_url=ELSEWHERE + "/x")
    await follower.sync()
    (due,) = await store.due(CHAIN_ID, clock.now, 10)
    assert due.nft == new
    assert await store.due(CHAIN_ID, clock.now, 10, apart_from=["other.example"]) == []


@pytest.mark.parametrize(
    ("named", "host"),
    [
        ("https://A.example:8030/x", "a.example"),
        ("http://user@a.example", "a.example"),
        ("a.example", "a.example"),
        ("http://[broken", "http://[broken"),
    ],
)
async def test_providers_are_told_apart_by_host(
    follow: Follow,
    store: IndexStore,
    other: OtherProvider,
    published_on: PublishingChain,
    named: str,
    host: str,
) -> None:
    nft = published_on.deploy(address("a"))
    published_on.emit(nft, document(nft), flags=2, key=OTHER_KEY, decryptor_url=named)
    await follow(ask=other).sync()
    assert (await shown(store, nft)).version.decryptor_host == host
