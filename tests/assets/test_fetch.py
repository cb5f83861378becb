"""The guarded fetcher against real origins on loopback."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace

import pytest
from aiohttp import web
from asset_fetching import HEAD, LIMITS, LOOPBACK, fetched, read, refused
from asset_origins import Names, Origin, raw_origin
from yarl import URL

from compute.errors import InputUnavailable
from provider.assets.addresses import networks
from provider.assets.fetch import (
    NOT_ALLOWED,
    Fetcher,
    FetchLimits,
)
from provider.assets.hops import Hop, next_hop


async def test_bytes_size_and_validator(fetcher: Fetcher, origin: Origin) -> None:
    url = origin.serve("/t.csv", b"a,b\n1,2\n", ETag='"v1"')
    async with fetcher.open(url) as download:
        assert (download.unchanged, download.size) == (False, 8)
        assert download.validator == 'etag:"v1"'
        assert await read(download) == b"a,b\n1,2\n"


async def test_an_unchanged_file_is_not_sent_again(fetcher: Fetcher, origin: Origin) -> None:
    async def answer(request: web.Request) -> web.Response:
        known = request.headers.get("If-None-Match") == '"v1"'
        return web.Response(status=304 if known else 200, headers={"ETag": '"v1"'})

    origin.on("/t", answer)
    async with fetcher.open(origin.url("/t")) as download:
        validator = download.validator
    async with fetcher.open(origin.url("/t"), validator=validator) as download:
        assert download.unchanged
        assert download.validator == validator
        assert await read(download) == b""


async def test_last_modified_serves_as_validator(fetcher: Fetcher, origin: Origin) -> None:
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    url = origin.serve("/t", b"x", Last_Modified=date)
    async with fetcher.open(url) as download:
        assert download.validator == f"modified:{date}"
    await fetched(fetcher, url, validator=download.validator)
    assert origin.requests[-1].headers["If-Modified-Since"] == date


async def test_without_validator_304_is_an_error(fetcher: Fetcher, origin: Origin) -> None:
    assert "304" in (await refused(fetcher, origin.serve("/t", b"", 304))).public


@pytest.mark.parametrize("validator", ["", "foreign", "other:x"])
async def test_a_foreign_validator_is_ignored(
    fetcher: Fetcher, origin: Origin, validator: str
) -> None:
    assert await fetched(fetcher, origin.serve("/t", b"x"), validator=validator) == b"x"


async def test_the_bytes_are_asked_for_as_they_are(fetcher: Fetcher, origin: Origin) -> None:
    url = origin.serve("/t.gz", b"\x1f\x8bnot really", Content_Encoding="gzip")
    assert await fetched(fetcher, url) == b"\x1f\x8bnot really"
    assert origin.requests[0].headers["Accept-Encoding"] == "identity"


async def test_post_sends_body_and_headers(fetcher: Fetcher, origin: Origin) -> None:
    url = origin.serve("/q", b"x", ETag='"v"')
    async with fetcher.open(url, method="POST", headers={"X-Key": "k"}, body=b"{}") as download:
        assert download.validator is None
    assert origin.bodies == [b"{}"]
    assert origin.requests[0].headers["X-Key"] == "k"


@pytest.mark.parametrize("path", ["/a%2Fb?sig=a%2Bb%3D%3D&x=1;2", "/%7Euser/%e2%82%ac?q=%20+"])
async def test_a_signed_url_is_sent_as_written(fetcher: Fetcher, origin: Origin, path: str) -> None:
    await refused(fetcher, origin.url(path) + "#fragment")
    assert origin.requests[0].raw_path == path


async def test_a_url_with_other_letters_is_quoted(fetcher: Fetcher, origin: Origin) -> None:
    origin.serve("/é t", b"x")
    assert await fetched(fetcher, origin.url("/é t")) == b"x"


@pytest.mark.parametrize(
    ("status", "temporary"),
    [
        *((status, False) for status in (204, 206, 300, 400, 401, 403, 404, 410, 451)),
        *((status, True) for status in (408, 425, 429, 500, 502, 503, 504)),
    ],
)
async def test_answers_that_are_no_file(
    fetcher: Fetcher, origin: Origin, status: int, temporary: bool
) -> None:
    error = await refused(fetcher, origin.serve("/t", b"", status))
    assert error.temporary is temporary
    assert str(status) in error.public


async def test_a_range_that_the_publisher_set_is_served(fetcher: Fetcher, origin: Origin) -> None:
    url = origin.serve("/t", b"ab", 206)
    assert await fetched(fetcher, url, headers={"Range": "bytes=0-1"}) == b"ab"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/inside",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:{port}/inside",
        "http://2130706433:{port}/inside",
        "http://0x7f000001:{port}/inside",
        "http://inner.example:{port}/inside",
        "//127.0.0.1:{port}/inside",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_does_not_lead_inside(origin: Origin, target: str, status: int) -> None:
    outside = Origin("127.0.0.2")
    await outside.start()
    url = outside.redirect("/t", target.format(port=origin.port), status)
    names = Names(inner_example=[["127.0.0.1"]])
    allowed = networks(["127.0.0.2/32"])
    try:
        async with Fetcher(allowed_networks=allowed, limits=LIMITS, resolver=lambda: names) as one:
            assert (await refused(one, url)).public == NOT_ALLOWED
    finally:
        await outside.close()
    assert origin.requests == []


@pytest.mark.parametrize("target", ["/b", "b", "?x=1", "http://127.0.0.1:{port}/b"])
async def test_a_redirect_is_followed(fetcher: Fetcher, origin: Origin, target: str) -> None:
    origin.serve("/b", b"there")

    async def once(request: web.Request) -> web.Response:
        if request.query:
            return web.Response(body=b"there")
        return web.Response(status=302, headers={"Location": target.format(port=origin.port)})

    origin.on("/a", once)
    assert await fetched(fetcher, origin.url("/a")) == b"there"


@pytest.mark.parametrize(
    "target", ["", "ftp://example.com/", "http://[::1", "http://u:p@127.0.0.1/"]
)
async def test_a_redirect_to_nowhere(fetcher: Fetcher, origin: Origin, target: str) -> None:
    assert not (await refused(fetcher, origin.redirect("/a", target))).temporary


async def test_redirects_end(fetcher: Fetcher, origin: Origin) -> None:
    error = await refused(fetcher, origin.redirect("/a", "/a"))
    assert "redirects too often" in error.public
    assert len(origin.requests) == LIMITS.redirects + 1


async def test_five_redirects_are_fine(fetcher: Fetcher, origin: Origin) -> None:
    for step in range(5):
        origin.redirect(f"/{step}", f"/{step + 1}")
    origin.serve("/5", b"there")
    assert await fetched(fetcher, origin.url("/0")) == b"there"


async def test_the_body_of_a_redirect_is_not_waited_for(fetcher: Fetcher, origin: Origin) -> None:
    endless = (
        b"HTTP/1.1 302 Found\r\nLocation: "
        + origin.serve("/b", b"there").encode()
        + b"\r\nContent-Length: 999999\r\n\r\nx"
    )
    async with raw_origin(endless, then_wait=True) as url:
        assert await fetched(fetcher, url) == b"there"


async def test_secrets_stay_with_their_origin(fetcher: Fetcher, origin: Origin) -> None:
    other = Origin("127.0.0.1")
    await other.start()
    try:
        origin.redirect("/a", "/b")
        origin.redirect("/b", other.serve("/c", b"there"))
        headers = {"Authorization": "secret", "X-Key": "secret"}
        assert await fetched(fetcher, origin.url("/a"), headers=headers) == b"there"
    finally:
        await other.close()
    assert [request.headers.get("Authorization") for request in origin.requests] == ["secret"] * 2
    assert "secret" not in str(other.requests[0].headers)


@pytest.mark.parametrize(
    ("status", "method", "body"), [(302, "GET", b""), (303, "GET", b""), (307, "POST", b"{}")]
)
async def test_how_a_post_is_redirected(
    fetcher: Fetcher, origin: Origin, status: int, method: str, body: bytes
) -> None:
    origin.redirect("/a", "/b", status)
    origin.serve("/b", b"there")
    assert await fetched(fetcher, origin.url("/a"), method="POST", body=b"{}") == b"there"
    assert (origin.requests[1].method, origin.bodies[1]) == (method, body)


@pytest.mark.parametrize(
    ("start", "location", "kept"),
    [
        ("https://a.example/x", "/y", True),
        ("https://a.example/x", "https://a.example:443/y", True),
        ("https://a.example/x", "//a.example/y", True),
        ("https://a.example/x", "https://b.example/y", False),
        ("https://a.example/x", "https://a.example:8443/y", False),
        ("http://a.example/x", "https://a.example/y", False),
    ],
)
def test_where_headers_go(start: str, location: str, kept: bool) -> None:
    hop = Hop(URL(start), "GET", {"Authorization": "secret"}, None)
    assert next_hop(hop, 302, location).headers == (hop.headers if kept else {})


@pytest.mark.parametrize(
    "location", ["http://a.example/x", "http://b.example/", "ftp://a.example/"]
)
def test_a_redirect_keeps_protection(location: str) -> None:
    hop = Hop(URL("https://a.example/x"), "GET", {}, None)
    with pytest.raises(InputUnavailable, match="unprotected"):
        next_hop(hop, 302, location)


async def test_cookies_are_not_kept(origin: Origin) -> None:
    origin.serve("/t", b"", Set_Cookie="a=b; Path=/")
    names = Names(data_example=[["127.0.0.1"]])
    async with Fetcher(allowed_networks=LOOPBACK, resolver=lambda: names) as fetcher:
        for _ in range(2):
            await fetched(fetcher, origin.url("/t", "data.example"))
    assert "Cookie" not in origin.requests[1].headers


async def test_a_proxy_of_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch, origin: Origin
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    async with Fetcher(allowed_networks=LOOPBACK, limits=LIMITS) as fetcher:
        assert await fetched(fetcher, origin.serve("/t", b"x")) == b"x"


async def test_a_file_announced_too_large_is_not_read(origin: Origin) -> None:
    limits = FetchLimits(max_bytes=3)
    async with Fetcher(allowed_networks=LOOPBACK, limits=limits) as fetcher:
        assert await fetched(fetcher, origin.serve("/s", b"abc")) == b"abc"
        announced = HEAD + b"Content-Length: 4\r\n\r\n"
        async with raw_origin(announced, then_wait=True) as url:
            error = await refused(fetcher, url)
    assert "larger than the 3 bytes" in error.public
    assert not error.temporary


async def test_a_file_that_never_ends_is_cut_off(fetcher: Fetcher, origin: Origin) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    origin.on("/t", endless)
    seen = [0]

    async def count() -> None:
        async with fetcher.open(origin.url("/t")) as download:
            async for chunk in download.chunks:
                seen[0] += len(chunk)

    with pytest.raises(InputUnavailable, match="larger than"):
        await count()
    assert 0 < seen[0] <= LIMITS.max_bytes


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 10\r\n\r\nshort",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Content-Length: nonsense\r\n\r\n",
        HEAD[:8],
        b"",
        b"no http at all\r\n\r\n",
        HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_a_broken_answer_may_be_whole_later(fetcher: Fetcher, answer: bytes) -> None:
    async with raw_origin(answer) as url:
        assert (await refused(fetcher, url)).temporary


@pytest.mark.parametrize("answer", [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\nshort"])
async def test_a_stall_is_given_up(answer: bytes) -> None:
    limits = replace(LIMITS, stall_s=0.3)
    async with (
        Fetcher(allowed_networks=LOOPBACK, limits=limits) as fetcher,
        raw_origin(answer, then_wait=True) as url,
    ):
        error = await refused(fetcher, url)
    assert error.temporary
    assert "took too long" in error.public


async def test_a_trickle_is_given_up_in_the_end(origin: Origin) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.02)

    origin.on("/t", trickle)
    limits = FetchLimits(total_s=0.3)
    async with Fetcher(allowed_networks=LOOPBACK, limits=limits) as fetcher:
        error = await refused(fetcher, origin.url("/t"))
    assert error.temporary
    assert "took too long" in error.public


async def test_a_closed_port_may_open_later(fetcher: Fetcher, origin: Origin) -> None:
    url = origin.url("/t")
    await origin.close()
    assert (await refused(fetcher, url)).temporary


async def test_a_server_without_tls_is_no_https_origin(fetcher: Fetcher, origin: Origin) -> None:
    url = origin.url("/t").replace("http:", "https:")
    await refused(fetcher, url)
    assert origin.requests == []


async def test_no_url_in_errors_or_logs(
    guarded: Fetcher, fetcher: Fetcher, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    errors = [
        await refused(guarded, origin.url("/secret")),
        await refused(fetcher, origin.serve("/secret", b"", 404)),
        await refused(fetcher, origin.redirect("/secret", "http://secret.invalid/secret")),
        await refused(fetcher, f"http://127.0.0.1:{port}/secret"),
        await refused(fetcher, "http://secret:secret@127.0.0.1/"),
        await refused(fetcher, "http://secret[/"),
    ]
    closed.close()
    for error in errors:
        assert "secret" not in f"{error!r} {error} {error.public}"
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
    ours = [each for each in caplog.records if each.name.startswith("provider")]
    assert ours
    assert not any("secret" in each.getMessage() for each in ours)


async def test_leaving_early_closes_the_connection(fetcher: Fetcher, origin: Origin) -> None:
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 4096)
        finally:
            gone.set()

    origin.on("/t", endless)
    async with fetcher.open(origin.url("/t")) as download:
        async for _ in download.chunks:
            break
    await asyncio.wait_for(gone.wait(), 30)


async def test_who_asks_while_the_service_ends_is_told_to_try_again() -> None:
    fetcher = Fetcher()
    assert (await refused(fetcher, "http://8.8.8.8/")).temporary
    await fetcher.close()
