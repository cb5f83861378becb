"""Who is let in: with keys whoever has one, without them only what surely is this machine."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from kit_server import ALICE, BOB, HASHED, Answer, application, basic, request, sent, serving

from provider.apikeys import Hashing, KeyRing, new_key
from provider.dialects.ocean.envelopes import render as guard_render
from provider.dialects.shared.door import Door
from provider.dialects.shared.mounting import Route, mount

Served = Callable[..., AbstractAsyncContextManager[int]]


def guarded(door: Door) -> web.Application:
    """``/who`` tells the key's name."""

    async def who(request: web.Request, name: str) -> web.Response:
        return web.json_response({"name": name})

    app = application()
    routes = [Route(method, "/who", who) for method in ("GET", "POST")]
    mount(app, prefix="/", door=door, routes=routes, render=rendered)
    return app


def rendered(request: web.Request, error: Exception) -> web.Response | None:
    return guard_render(error)


@asynccontextmanager
async def local(host: str = "127.0.0.1") -> AsyncIterator[int]:
    async with serving(guarded(Door("tiny", KeyRing({}))), host) as port:
        yield port


@asynccontextmanager
async def keyed(hashing: Hashing | None = None) -> AsyncIterator[int]:
    async with serving(guarded(Door("tiny", KeyRing(HASHED, hashing)))) as port:
        yield port


@asynccontextmanager
async def opened() -> AsyncIterator[int]:
    async with serving(guarded(Door("tiny", KeyRing({}), everyone=True))) as port:
        yield port


def refused(answer: Answer) -> bool:
    return answer.status == 403 and b"only clients on its own machine" in answer.body


# with keys


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {ALICE}"},
        {"Authorization": f"bearer  {ALICE}"},
        {"Authorization": basic("x", ALICE)},
        {"Authorization": basic("", ALICE)},
        {"Authorization": basic("bob", ALICE)},
        {"X-Api-Key": ALICE},
        {"Authorization": "Digest whatever", "X-Api-Key": ALICE},
        {"Authorization": f"Bearer {ALICE}", "Origin": "https://page.example", "Via": "1.1 proxy"},
        {"Authorization": f"Bearer {ALICE}", "Host": "public.example"},
    ],
)
async def test_a_key_lets_in_however_it_is_shown(headers: dict[str, str]) -> None:
    async with keyed() as port:
        answer = await sent(port, request("/who", headers))
    assert (answer.status, answer.body) == (200, b'{"name": "alice"}')


async def test_a_client_with_the_key_in_its_address_needs_no_change() -> None:
    async with (
        keyed() as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://x:{BOB}@127.0.0.1:{port}/who") as response,
    ):
        assert await response.json() == {"name": "bob"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {new_key()}"},
        {"Authorization": ALICE},
        {"Authorization": f"Bearer x:{ALICE}"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic /////w=="},
        {"Authorization": basic("alice", "")},
        {"Authorization": basic(ALICE, "")},
        {"Authorization": f"Basic {ALICE}"},
        {"X-Api-Key": "wrong"},
        {"X-Api-Key": "\xff\xfe"},
        {"Cookie": f"key={ALICE}"},
    ],
)
async def test_missing_and_wrong_keys_are_told_alike_at_the_same_cost(
    headers: dict[str, str],
) -> None:
    hashing = Hashing()
    async with keyed(hashing) as port:
        answer = await sent(port, request("/who", headers))
    assert answer.status == 401
    assert json.loads(answer.body) == {"error": "A valid key is needed here."}
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"]
    assert hashing.done == 1


async def test_a_key_in_the_query_is_none() -> None:
    async with keyed() as port:
        for name in ("key", "api_key", "access_token", "X-Api-Key"):
            answer = await sent(port, request(f"/who?{name}={ALICE}"))
            assert answer.status == 401


async def test_with_keys_the_own_machine_needs_one_too() -> None:
    async with keyed() as port:
        assert (await sent(port, request("/who"))).status == 401


# without keys: this machine


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "LOCALHOST:8030"},
        {"Host": "127.0.0.1"},
        {"Host": "127.45.6.7:1"},
        {"Host": "[::1]:8030"},
        {"Host": "[::ffff:127.0.0.1]"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "http://[::1]:3000", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Authorization": "Bearer whatever"},
        {"X-Request-Id": "mine"},
    ],
)
async def test_without_keys_this_machine_is_let_in(headers: dict[str, str]) -> None:
    async with local() as port:
        answer = await sent(port, request("/who", headers))
        assert (answer.status, answer.body) == (200, b'{"name": ""}')


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "public.example"},
        {"Host": "192.0.2.7:8030"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.1"},
        {"Host": "evil.example:80@localhost"},
        {"Host": "[::2]"},
        {"Host": "[::1"},
        {"Host": "0.0.0.0"},
        {"Host": ""},
        {"Origin": "https://page.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost@evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "file://localhost"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "whatever"},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"x-forwarded-proto": "https"},
        {"X-Forwarded-Whatever": ""},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"CF-Connecting-IP": "192.0.2.1"},
        {"True-Client-IP": "192.0.2.1"},
        {"Proxy-Connection": "keep-alive"},
        {"Client-IP": "192.0.2.1"},
        {"CF-Ray": "1"},
        {"CDN-Loop": "proxy"},
        {"X-Envoy-Original-Path": "/"},
        {"X-Proxied-For": "192.0.2.1"},
        {"Max-Forwards": "9"},
    ],
)
async def test_what_bears_a_mark_of_a_proxy_or_a_strange_page_is_refused(
    headers: dict[str, str],
) -> None:
    async with local() as port:
        assert refused(await sent(port, request("/who", headers)))


async def test_a_proxy_that_leaves_no_mark_but_its_old_http_is_refused() -> None:
    async with local() as port:
        assert refused(await sent(port, request("/who", version="1.0")))


@pytest.mark.parametrize(
    "head",
    [
        b"GET /who HTTP/1.1\r\n\r\n",
        b"GET /who HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    ],
)
async def test_no_host_and_two_hosts_come_no_further_than_the_server(head: bytes) -> None:
    async with local() as port:
        assert (await sent(port, head)).status == 400


async def test_a_strange_host_in_the_target_is_refused() -> None:
    async with local() as port:
        head = b"GET http://evil.example/who HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert refused(await sent(port, head))


async def test_the_loopback_of_ipv6_is_this_machine_too() -> None:
    try:
        async with local("::1") as port:
            assert (await sent(port, request("/who"), "::1")).status == 200
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_a_listener_of_both_kinds_knows_the_loopback_in_its_mapped_form() -> None:
    runner = web.AppRunner(guarded(Door("tiny", KeyRing({}))), access_log=None)
    await runner.setup()
    try:
        listening = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError:
        await runner.cleanup()
        pytest.skip("this machine has no IPv6")
    await web.SockSite(runner, listening).start()
    answer = await sent(listening.getsockname()[1], request("/who"), "127.0.0.1")
    await runner.cleanup()
    assert answer.status == 200


async def test_what_is_no_address_of_ip_is_refused(tmp_path: Path) -> None:
    runner = web.AppRunner(guarded(Door("tiny", KeyRing({}))), access_log=None)
    await runner.setup()
    await web.UnixSite(runner, tmp_path / "socket").start()
    connector = aiohttp.UnixConnector(str(tmp_path / "socket"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://localhost/who") as response,
    ):
        assert response.status == 403
    await runner.cleanup()


def own_address() -> str:
    """An address of this machine that others could reach. Nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        address: str = probe.getsockname()[0]
        return address


@pytest.mark.parametrize("source", ["", "127.0.0.1"])
async def test_another_address_than_the_loopback_is_refused_on_either_side(source: str) -> None:
    own = own_address()
    async with local("0.0.0.0") as port:
        local_addr = (source, 0) if source else None
        reader, writer = await asyncio.open_connection(own, port, local_addr=local_addr)
        writer.write(request("/who"))
        assert (await reader.readline()).split()[1] == b"403"
        writer.close()
        await writer.wait_closed()
        assert (await sent(port, request("/who"))).status == 200


# without keys: everyone


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "public.example", "X-Forwarded-For": "192.0.2.1"},
        {"Host": "public.example:8030", "Origin": "http://public.example:8030"},
        {"Host": "Public.example", "Origin": "https://public.example"},
        {"Host": "public.example", "Sec-Fetch-Site": "same-origin"},
        {},
    ],
)
async def test_an_open_api_serves_everyone(headers: dict[str, str]) -> None:
    async with opened() as port:
        assert (await sent(port, request("/who", headers))).status == 200
        assert (await sent(port, request("/who", headers, "1.0"))).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "inside.example", "Origin": "https://page.example"},
        {"Host": "inside.example", "Origin": "http://inside.example:81"},
        {"Host": "inside.example", "Origin": "null"},
        {"Host": "inside.example", "Sec-Fetch-Site": "cross-site"},
        {"Host": "", "Origin": "null"},
    ],
)
async def test_but_no_pages_of_others(headers: dict[str, str]) -> None:
    async with opened() as port:
        answer = await sent(port, request("/who", headers))
    assert (answer.status, b"Web pages of others" in answer.body) == (403, True)


def test_a_door_says_in_a_word_whom_it_lets_in() -> None:
    assert Door("tiny", KeyRing(HASHED)).reach == "keys"
    assert Door("tiny", KeyRing(HASHED), everyone=True).reach == "keys"
    assert Door("tiny", KeyRing({}), everyone=True).reach == "everyone"
    assert Door("tiny", KeyRing({})).reach == "loopback"
