"""Files behind HTTP: what is asked of their origins, what they are like, and their pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from asset_documents import url_file
from asset_fetching import LIMITS, LOOPBACK, read
from asset_origins import Origin, raw_origin

from compute.errors import InputUnavailable
from provider.assets.fetch import Fetcher, FetchLimits
from provider.assets.files import parse_file
from provider.assets.origins.base import GATEWAYS, Part, Probe, SourceFile
from provider.assets.origins.http import Gateways, with_query
from provider.assets.origins.kinds import Origins

CONTENT = bytes(range(256)) * 40
Opens = Callable[..., SourceFile]


@pytest.fixture
def opened(fetcher: Fetcher, origin: Origin) -> Opens:
    """From a file object to its file; gateways are the test's own origin."""
    gateways = Gateways(ipfs=origin.url("/gate/"), arweave=origin.url("/weave"))
    origins = Origins(fetcher, b"k" * 32, gateways=gateways)

    def source(raw: dict[str, Any], **userdata: Any) -> SourceFile:
        return origins.source(parse_file(raw), userdata)

    return source


async def whole(file: SourceFile) -> bytes:
    async with file.open(None) as download:
        return await read(download)


async def piece(file: SourceFile, range_: str | None = None, **more: Any) -> tuple[Part, bytes]:
    async with file.part(range_, **more) as part:
        return part, b"".join([chunk async for chunk in part.chunks])


def serve_ranges(origin: Origin, path: str, **headers: str) -> str:
    """An origin that keeps to RFC 9110, as far as these tests go."""

    async def answer(request: web.Request) -> web.Response:
        given = {"Accept-Ranges": "bytes", "ETag": '"v1"', **headers}
        text = request.headers.get("Range")
        if text is None or request.headers.get("If-Range", '"v1"') != '"v1"':
            return web.Response(body=CONTENT, headers=given)
        first, _, last = text.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(CONTENT)) + 1, len(CONTENT))
        if start >= len(CONTENT):
            total = {"Content-Range": f"bytes */{len(CONTENT)}"}
            return web.Response(status=416, body=b"no", headers={**given, **total})
        given["Content-Range"] = f"bytes {start}-{stop - 1}/{len(CONTENT)}"
        return web.Response(status=206, body=CONTENT[start:stop], headers=given)

    origin.on(path, answer)
    return origin.url(path)


async def test_ipfs_is_asked_of_its_gateway(opened: Opens, origin: Origin) -> None:
    origin.serve("/gate/ipfs/QmX", b"x")
    file = opened({"type": "ipfs", "hash": "QmX", "headers": {"X-Key": "k"}}, year=1)
    assert (file.type, await whole(file)) == ("ipfs", b"x")
    (request,) = origin.requests
    assert (request.headers["X-Key"], request.query_string) == ("k", "")


async def test_a_path_below_an_identifier(opened: Opens, origin: Origin) -> None:
    origin.serve("/gate/ipfs/QmX/a b?.csv", b"x")
    file = opened({"type": "ipfs", "hash": "QmX/a b?.csv"})
    assert (file.name, await whole(file)) == ("a b?.csv", b"x")


async def test_arweave_is_asked_of_its_gateway(opened: Opens, origin: Origin) -> None:
    origin.serve("/weave/tx_1-2", b"x")
    file = opened({"type": "arweave", "transactionId": "tx_1-2"})
    assert (file.type, await whole(file)) == ("arweave", b"x")


async def test_graphql_gets_query_and_variables(opened: Opens, origin: Origin) -> None:
    url = origin.serve("/q", b"{}", Content_Type="application/json")
    raw = {"type": "graphql", "url": url, "query": "query($n:Int){a(n:$n)}", "headers": {"K": "v"}}
    assert await whole(opened(raw, n=5, query="{other}", variables={})) == b"{}"
    (request,) = origin.requests
    assert (request.method, request.headers["K"]) == ("POST", "v")
    assert request.headers["Content-Type"] == "application/json"
    sent = json.loads(origin.bodies[0])
    assert sent["query"] == raw["query"]
    assert sent["variables"] == {"n": 5, "query": "{other}", "variables": {}}


async def test_what_a_file_is_like(opened: Opens, origin: Origin) -> None:
    url = origin.serve("/t.csv", b"a,b\n", Content_Type="Text/CSV; charset=utf-8")
    assert await opened(url_file(url)).probe() == Probe(4, "text/csv", "t.csv")
    assert len(origin.requests) == 1


async def test_asking_does_not_read_the_content() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\nfew"
    async with (
        raw_origin(head, then_wait=True) as url,
        Fetcher(allowed_networks=LOOPBACK, limits=LIMITS) as fetcher,
    ):
        wide = Origins(fetcher, b"k" * 32).source(parse_file(url_file(url)), {})
        with pytest.raises(InputUnavailable, match="larger"):
            await wide.probe()
    async with (
        raw_origin(head, then_wait=True) as url,
        Fetcher(allowed_networks=LOOPBACK, limits=FetchLimits()) as fetcher,
    ):
        file = Origins(fetcher, b"k" * 32).source(parse_file(url_file(url)), {})
        assert (await file.probe()).size == 500_000_000


async def test_a_size_that_is_not_told(opened: Opens, origin: Origin) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x" * 10)
        return response

    origin.on("/t", stream)
    file = opened(url_file(origin.url("/t")))
    assert (await file.probe()).size is None
    part, content = await piece(file)
    assert (part.size, content) == (None, b"x" * 10)


@pytest.mark.parametrize("status", [404, 500])
async def test_a_file_that_is_not_there(opened: Opens, origin: Origin, status: int) -> None:
    file = opened(url_file(origin.serve("/secret", b"secret", status)))
    for asking in (file.probe(), piece(file), piece(file, "bytes=0-1")):
        with pytest.raises(InputUnavailable) as caught:
            await asking
        assert "secret" not in caught.value.public
        assert caught.value.temporary == (status == 500)


@pytest.mark.parametrize(
    ("header", "path", "kind", "name"),
    [
        (None, "/d/t.csv", "text/html", "t.csv"),
        (None, "/d/t", "text/csv", "t.csv"),
        (None, "/d/t", "application/json; charset=utf-8", "t.json"),
        (None, "/d/t", "application/octet-stream", "t"),
        (None, "/d/t", "no/such-type", "t"),
        (None, "/", "text/csv", "file.csv"),
        ("attachment;filename=own.csv", "/d/t", "text/csv", "own.csv"),
        ('attachment; filename="a b.csv"', "/d/t", "", "a b.csv"),
        ("attachment; filename*=UTF-8''%C3%A9t%C3%A9.csv", "/d/t", "", "été.csv"),
        ("attachment; filename*=NO-SUCH''x.csv", "/d/t", "", "x.csv"),
        ('attachment; filename="../../etc/passwd"', "/d/t", "", "passwd"),
        ('attachment; filename="C:\\\\x\\\\y.exe"', "/d/t", "", "y.exe"),
        ('attachment; filename=".."', "/d/t", "", "file"),
        ("attachment", "/d/t.csv", "", "t.csv"),
        ("rubbish==;;\"'", "/d/t.csv", "", "t.csv"),
    ],
)
async def test_names(
    opened: Opens, origin: Origin, header: str | None, path: str, kind: str, name: str
) -> None:
    headers = {"Content_Type": kind} if kind else {}
    if header is not None:
        headers["Content_Disposition"] = header
    file = opened(url_file(origin.serve(path, b"x", **headers)))
    assert (await file.probe()).name == name


async def test_names_of_what_has_none_are_stable_and_tell_nothing(
    opened: Opens, origin: Origin
) -> None:
    origin.serve("/gate/ipfs/QmSecret", b"{}", Content_Type="application/json")
    names = {opened({"type": "ipfs", "hash": "QmSecret"}).name for _ in range(2)}
    (name,) = names
    assert len(name) == 16
    assert "secret" not in name.lower()
    assert name != opened({"type": "ipfs", "hash": "QmOther"}).name
    assert (await opened({"type": "ipfs", "hash": "QmSecret"}).probe()).name == name + ".json"


async def test_identity_minds_what_makes_a_difference(opened: Opens) -> None:
    ipfs = {"type": "ipfs", "hash": "QmX"}
    graph = {"type": "graphql", "url": "https://g.example", "query": "{a}"}
    assert opened(ipfs).identity == opened(ipfs, a=1).identity
    assert opened(graph).identity != opened(graph, a=1).identity


async def test_a_whole_file(opened: Opens, origin: Origin) -> None:
    file = opened(url_file(serve_ranges(origin, "/t", Content_Type="text/csv")))
    part, content = await piece(file)
    assert content == CONTENT
    assert (part.status, part.size, part.content_range) == (200, len(CONTENT), None)
    assert (part.accepts_ranges, part.etag, part.validator) == (True, '"v1"', 'etag:"v1"')
    assert "Range" not in origin.requests[0].headers


async def test_a_piece(opened: Opens, origin: Origin) -> None:
    part, content = await piece(opened(url_file(serve_ranges(origin, "/t"))), "bytes=100-199")
    assert content == CONTENT[100:200]
    assert (part.status, part.size, part.accepts_ranges) == (206, 100, True)
    assert part.content_range == f"bytes 100-199/{len(CONTENT)}"


async def test_no_such_piece(opened: Opens, origin: Origin) -> None:
    part, content = await piece(opened(url_file(serve_ranges(origin, "/t"))), "bytes=999999-")
    assert (part.status, part.size, content) == (416, 0, b"")
    assert part.content_range == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize(("known", "status"), [('"v1"', 206), ('"v0"', 200)])
async def test_a_piece_of_the_file_that_is_known(
    opened: Opens, origin: Origin, known: str, status: int
) -> None:
    file = opened(url_file(serve_ranges(origin, "/t")))
    part, _ = await piece(file, "bytes=0-1", if_range=known)
    assert part.status == status


@pytest.mark.parametrize(
    ("range_", "more"),
    [
        ("bytes=0-1,5-6", {}),
        ("lines=1-2", {}),
        ("bytes=-", {}),
        ("bytes=a-b", {}),
        ("bytes=0-1\r\nX: y", {}),
        ("bytes=0-1", {"if_range": "a\r\nX: y"}),
        (None, {"if_range": '"v1"'}),
    ],
)
async def test_other_ranges_do_not_go_upstream(
    opened: Opens, origin: Origin, range_: str | None, more: dict[str, str]
) -> None:
    file = opened(url_file(serve_ranges(origin, "/t")))
    part, content = await piece(file, range_, **more)
    assert (part.status, content) == (200, CONTENT)
    assert not {"Range", "If-Range", "X"} & origin.requests[0].headers.keys()


async def test_an_origin_without_ranges_gives_the_whole(opened: Opens, origin: Origin) -> None:
    file = opened(url_file(origin.serve("/t", b"abc")))
    part, content = await piece(file, "bytes=0-0")
    assert (part.status, part.accepts_ranges, content) == (200, False, b"abc")
    assert origin.requests[0].headers["Range"] == "bytes=0-0"


@pytest.mark.parametrize("header", [None, "bytes 0-0", "rubbish", "bytes 0-0/1\x7f"])
async def test_a_piece_that_does_not_say_which(
    opened: Opens, origin: Origin, header: str | None
) -> None:
    headers = {} if header is None else {"Content_Range": header}
    file = opened(url_file(origin.serve("/t", b"a", 206, **headers)))
    with pytest.raises(InputUnavailable):
        await piece(file, "bytes=0-0")


async def test_a_piece_nobody_asked_for(opened: Opens, origin: Origin) -> None:
    file = opened(url_file(origin.serve("/t", b"a", 206, Content_Range="bytes 0-0/9")))
    with pytest.raises(InputUnavailable):
        await piece(file)


async def test_the_publishers_own_range_is_the_file(opened: Opens, origin: Origin) -> None:
    url = serve_ranges(origin, "/t")
    file = opened(url_file(url, headers={"range": "bytes=10-19"}))
    part, content = await piece(file, "bytes=0-4000")
    assert (part.status, part.size, content) == (200, 10, CONTENT[10:20])
    assert (part.content_range, part.accepts_ranges) == (None, False)
    _, content = await piece(file, "bytes=0-0", if_range='"v0"')
    assert content == CONTENT[10:20]
    assert await whole(file) == CONTENT[10:20]
    assert (await file.probe()).size == 10
    assert {request.headers["Range"] for request in origin.requests} == {"bytes=10-19"}


async def test_the_publishers_range_goes_along_with_redirects_but_no_other_header(
    opened: Opens, origin: Origin
) -> None:
    other = Origin("127.0.0.2")
    await other.start()
    try:
        url = origin.redirect("/a", serve_ranges(other, "/t"))
        headers = {"Range": "bytes=0-4", "Authorization": "secret"}
        assert await whole(opened(url_file(url, headers=headers))) == CONTENT[:5]
        assert "Authorization" not in other.requests[0].headers
        part, content = await piece(opened(url_file(url)), "bytes=5-9")
        assert (part.status, content) == (206, CONTENT[5:10])
    finally:
        await other.close()


async def test_slow_downloads_do_not_keep_others_out(opened: Opens, origin: Origin) -> None:
    over = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await over.wait()
        return response

    origin.on("/slow", slow)
    quick = opened(url_file(origin.serve("/quick", b"x")))
    async with AsyncExitStack() as stack:
        stack.callback(over.set)
        for _ in range(110):
            await stack.enter_async_context(opened(url_file(origin.url("/slow"))).part())
        async with asyncio.timeout(30):
            assert (await quick.probe()).size == 1


async def test_an_answer_cut_short_is_no_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    async with (
        raw_origin(head) as url,
        Fetcher(allowed_networks=LOOPBACK, limits=LIMITS) as fetcher,
    ):
        file = Origins(fetcher, b"k" * 32).source(parse_file(url_file(url)), {})
        with pytest.raises(InputUnavailable) as caught:
            await piece(file)
        assert caught.value.temporary


@pytest.mark.parametrize("kind", ["url", "ipfs", "arweave", "graphql", "s3"])
async def test_every_kind_is_guarded(guarded: Fetcher, origin: Origin, kind: str) -> None:
    """Gateways and endpoints are fetched under the same rules as any URL."""
    inner = origin.url("")
    raws: dict[str, dict[str, Any]] = {
        "url": {"url": f"{inner}/t"},
        "ipfs": {"hash": "QmX"},
        "arweave": {"transactionId": "x"},
        "graphql": {"url": f"{inner}/q", "query": "{a}"},
        "s3": {
            "s3Access": {
                "endpoint": inner,
                "bucket": "tables",
                "objectKey": "x",
                "accessKeyId": "a",
                "secretAccessKey": "b",
            }
        },
    }
    origins = Origins(guarded, b"k" * 32, gateways=Gateways(inner, inner))
    file = origins.source(parse_file({"type": kind, **raws[kind]}), {})
    for asking in (whole(file), file.probe(), piece(file)):
        with pytest.raises(InputUnavailable, match="not allowed"):
            await asking
    assert origin.requests == []


@pytest.mark.parametrize("name", ["KEY", "key[]", "Key", "key ", "key[x]", "key"])
def test_a_publishers_parameter_is_not_given_again(name: str) -> None:
    url = "https://e.example/x?key=own&b=1"
    assert with_query(url, {name: "other"}) == url
    assert with_query(url, {name: "other", "c": 2}) == url + "&c=2"


@pytest.mark.parametrize("kind", ["url", "graphql"])
async def test_nothing_secret_shows(opened: Opens, kind: str) -> None:
    file = opened({"type": kind, "url": "https://secret.example/x", "query": "{secret}"})
    assert "secret" not in repr(file) + str(file) + repr(vars(file))


def test_origins_that_keep_each_other_waiting(fetcher: Fetcher) -> None:
    origins = Origins(fetcher, b"k" * 32)

    def origin(**raw: Any) -> str:
        return origins.source(parse_file(raw), {}).origin

    here = origin(type="url", url="http://a.example:81/x?key=1")
    assert "example" not in here
    assert origin(type="graphql", url="http://A.example:81/q", query="{a}") == here
    assert origin(type="url", url="http://b.example/x") != here
    assert origin(type="url", url=f"http://{GATEWAYS}/x") not in (GATEWAYS, here)
    assert origin(type="ipfs", hash="QmX") == origin(type="arweave", transactionId="x") == GATEWAYS
