"""Asking the guarded fetcher, for its tests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from compute.errors import InputUnavailable
from compute.supply import Download
from provider.assets.addresses import networks
from provider.assets.fetch import (
    Fetcher,
    FetchLimits,
)

LOOPBACK = networks(["127.0.0.0/8"])
HEAD = b"HTTP/1.1 200 OK\r\n"
LIMITS = FetchLimits(max_bytes=1_000_000, connect_s=30, stall_s=30, total_s=60)


async def read(download: Download) -> bytes:
    return b"".join([chunk async for chunk in download.chunks])


async def fetched(fetcher: Fetcher, url: str, **more: Any) -> bytes:
    async with asyncio.timeout(90), fetcher.open(url, **more) as download:
        return await read(download)


async def refused(fetcher: Fetcher, url: str, **more: Any) -> InputUnavailable:
    with pytest.raises(InputUnavailable) as caught:
        await fetched(fetcher, url, **more)
    return caught.value
