"""One large file brought to this disk over HTTP, as a program of its own.

``python -m benchmarks.staging KIND URL FOLDER`` prints the seconds it took and the processor
seconds. ``hashed`` is what the service does with an input that it does not have yet: the
guarded fetcher into the cache, SHA-256 included, on disk before it counts. ``plain`` is the
same HTTP client with the same buffers, writing to a file and flushing it to the disk. Both run
on uvloop, as the service does.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
import time
from pathlib import Path

import aiohttp
import uvloop

from compute.cache import InputCache
from provider.assets.fetch import READ_BUFFER_BYTES, Fetcher
from provider.assets.origins.http import HttpOrigin, HttpRequest, always

CACHE_BYTES = 8 << 30


async def hashed(url: str, folder: Path) -> None:
    cache = InputCache(folder, CACHE_BYTES)
    cache.open()
    async with Fetcher(allowed_networks=[ipaddress.ip_network("127.0.0.0/8")]) as fetcher:
        request = always(HttpRequest(url))
        await cache.fetch(HttpOrigin(fetcher, "url", request, name="big", identity="big"))


async def plain(url: str, folder: Path) -> None:
    folder.mkdir()
    async with (
        aiohttp.ClientSession(read_bufsize=READ_BUFFER_BYTES, auto_decompress=False) as session,
        session.get(url) as response,
    ):
        with (folder / "big").open("wb") as out:
            async for chunk in response.content.iter_any():
                out.write(chunk)
            out.flush()
            await asyncio.to_thread(os.fsync, out.fileno())


KINDS = {"hashed": hashed, "plain": plain}


def main() -> None:
    kind, url, folder = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        began, cpu = time.perf_counter(), time.process_time()
        runner.run(KINDS[kind](url, Path(folder)))
        print(time.perf_counter() - began, time.process_time() - cpu)


if __name__ == "__main__":
    main()
