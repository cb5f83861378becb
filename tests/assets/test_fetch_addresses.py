"""No disguise gets the guarded fetcher to an address inside."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from asset_fetching import LIMITS, LOOPBACK, fetched, refused
from asset_origins import Names, Origin

from compute.errors import InputUnavailable
from provider.assets.addresses import networks
from provider.assets.fetch import (
    NOT_ALLOWED,
    Fetcher,
    FetchLimits,
    GuardedResolver,
)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "134744072",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "localhost",
        "LOCALHOST",
    ],
)
async def test_addresses_inside_are_not_reached(
    guarded: Fetcher, origin: Origin, host: str
) -> None:
    error = await refused(guarded, origin.url("/t", host))
    assert error.public == NOT_ALLOWED
    assert not error.temporary
    assert origin.requests == []


@pytest.mark.parametrize(
    "host",
    [
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "127.0.0%2e1",
        "\u2460\u2461\u2466.0.0.1",
        "localhost.",
    ],
)
async def test_disguised_addresses_are_not_reached(
    guarded: Fetcher, origin: Origin, host: str
) -> None:
    await refused(guarded, origin.url("/t", host))
    assert origin.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nothing",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "gopher://127.0.0.1/x",
        "http://",
        "http:///x",
        "http://[::1",
        "http://[fe80::1%25lo]/",
        "http://example.com:99999/",
        "http://user@example.com/",
        "http://user:word@example.com/",
        "http://:word@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\r\nHost: x",
        "//example.com/x",
        "http://" + "a" * 300 + ".com/",
    ],
)
async def test_what_is_no_plain_url_is_refused(url: str) -> None:
    names = Names(example_com=[["127.0.0.1"]])
    async with Fetcher(limits=LIMITS, resolver=lambda: names) as fetcher:
        error = await refused(fetcher, url)
    assert "example" not in error.public
    assert "user" not in error.public.replace("user or password", "")


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["2606:4700::1", "::1"],
        ["::ffff:10.0.0.1"],
        ["fe80::1%lo"],
        ["169.254.169.254"],
        ["not an address"],
    ],
)
async def test_a_name_with_any_inner_address_is_refused(
    origin: Origin, addresses: list[str]
) -> None:
    names = Names(data_example=[addresses])
    async with Fetcher(limits=LIMITS, resolver=lambda: names) as fetcher:
        error = await refused(fetcher, origin.url("/t", "data.example"))
    assert error.public == NOT_ALLOWED
    assert origin.requests == []


async def test_an_unknown_name_may_be_known_later(guarded: Fetcher) -> None:
    async with Fetcher(limits=LIMITS, resolver=Names) as fetcher:
        assert (await refused(fetcher, "http://nowhere.example/")).temporary


async def test_resolution_that_hangs_is_given_up() -> None:
    class Hanging(Names):
        async def resolve(self, *_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

    limits = FetchLimits(connect_s=0.1)
    async with Fetcher(limits=limits, resolver=Hanging) as fetcher:
        assert (await refused(fetcher, "http://slow.example/")).temporary


async def test_a_name_that_changes_cannot_move_the_connection(origin: Origin) -> None:
    public = Origin("127.0.0.2")
    await public.start(origin.port)
    public.serve("/t", b"public")
    origin.serve("/t", b"inside", Connection="close")
    names = Names(data_example=[["127.0.0.2"], ["127.0.0.1"]])
    allowed = networks(["127.0.0.2/32"])
    try:
        async with Fetcher(allowed_networks=allowed, limits=LIMITS, resolver=lambda: names) as one:
            assert await fetched(one, origin.url("/t", "data.example")) == b"public"
            assert names.asked == ["data.example"]
        async with Fetcher(allowed_networks=allowed, limits=LIMITS, resolver=lambda: names) as two:
            assert (await refused(two, origin.url("/t", "data.example"))).public == NOT_ALLOWED
    finally:
        await public.close()
    assert origin.requests == []
    assert public.requests[0].host == f"data.example:{origin.port}"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "::1"], ["what"]])
async def test_a_resolver_answers_only_what_may_be_reached(addresses: list[str]) -> None:
    resolver = GuardedResolver(Names(data_example=[addresses]), (), timeout_s=30)
    with pytest.raises(InputUnavailable):
        await resolver.resolve("data.example", 80)


async def test_a_resolver_answers_every_public_address() -> None:
    resolver = GuardedResolver(Names(data_example=[["8.8.8.8", "2606:4700::1"]]), (), timeout_s=30)
    answers = await resolver.resolve("data.example", 80)
    assert [answer["host"] for answer in answers] == ["8.8.8.8", "2606:4700::1"]


def test_no_socket_is_made_for_an_inner_address() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    with pytest.raises(InputUnavailable):
        Fetcher()._socket(info)
    Fetcher(allowed_networks=LOOPBACK)._socket(info).close()
