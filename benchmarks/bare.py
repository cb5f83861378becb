"""The reference: aiohttp and nothing else.

One handler answers the same job object with ``web.json_response``, without looking at the
request; the other sends a file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvloop
from aiohttp import web


def main() -> None:
    port, body_file, big_file = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    jobs = json.loads(body_file.read_bytes())

    async def status(request: web.Request) -> web.Response:
        return web.json_response(jobs)

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(big_file, chunk_size=1 << 20)

    app = web.Application()
    app.router.add_get("/status", status)
    app.router.add_get("/file", file)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
