"""The reference: aiohttp and nothing else.

Its handler answers the same job object with ``web.json_response``, without looking at the
request.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvloop
from aiohttp import web


def main() -> None:
    port, jobs = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_bytes())

    async def status(request: web.Request) -> web.Response:
        return web.json_response(jobs)

    app = web.Application()
    app.router.add_get("/status", status)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
