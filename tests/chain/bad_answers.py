"""Ways in which a node's answer is none."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from stand_in_node import Misbehaviour, fails_with, results_in, says

from provider.chain import nodes


def too_much(size: int) -> Misbehaviour:
    """A right envelope around more bytes than are good for anybody, told in pieces."""

    async def misbehave(asked: dict[str, Any]) -> web.StreamResponse:
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": "0x"})[:-2].encode()
        return web.Response(body=body + b"0" * size + b'"}')

    return misbehave


RUBBISH = {
    "no JSON": says("<html>404 not found</html>"),
    "nothing": says(""),
    "no UTF-8": says(b"\xff\xfe\x00"),
    "too deep": says("[" * 100_000 + "]" * 100_000),
    "too deep and without end": says("[" * 1_000_000),
    "too many parts": says("[" + "1," * nodes.MAX_PARTS + "1]"),
    "too large": too_much(nodes.MAX_ANSWER),
    "a list": says("[]"),
    "a number": says("1"),
    "null": says("null"),
    "no result": says('{"jsonrpc": "2.0", "id": 0}'),
    "another id": says('{"jsonrpc": "2.0", "id": 99999, "result": "0x1"}'),
    "a huge number": results_in("0x" + "f" * 65),
    "a negative number": results_in("-0x1"),
    "a decimal number": results_in(5),
    "a text": results_in("five"),
    "an object": results_in({}),
    "nothing as result": results_in(None),
    "an empty number": results_in("0x"),
    "a number no block has": results_in("0x" + "f" * 64),
    "a bomb": says(b"\x1f\x8b" + bytes(100), **{"Content-Encoding": "gzip"}),
}
FAULTS = {
    "limits the rate": says("slow down", status=429),
    "limits the rate in JSON": fails_with(-32005, "daily request count exceeded"),
    "limits the rate by a code": fails_with(429, "Too Many Requests"),
    "is broken": says("oops", status=500),
    "is overloaded": says("", status=503),
    "wants another key": says("invalid key", status=401),
    "redirects": says("", status=307, Location="http://127.0.0.1:1/"),
    "does not know the method": fails_with(-32601, "the method does not exist"),
    "has an internal error": fails_with(-32603, "internal error"),
    "has an error of no shape": says('{"jsonrpc": "2.0", "id": 0, "error": "no"}'),
    "lost its state": fails_with(-32000, "missing trie node"),
}
