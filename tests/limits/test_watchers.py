"""Figures and health are asked for by whoever likes, and cost little."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest
from support.service import Service, free_port

CONNECTIONS = 128
ASKED = re.compile(r'http_requests_total\{[^}]*route="/metrics"[^}]*\} ([0-9.]+)')


async def figures(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url + "/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


async def test_many_who_ask_at_once_are_told_the_same(service: Service) -> None:
    await service.start(OUTPUT_QUOTA="watch")
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        told = await asyncio.gather(*(figures(session, service.url) for _ in range(200)))
        assert len(set(told)) <= 20
        for number in range(1, 4):
            after = await figures(session, service.url)
            [count] = ASKED.findall(after)
            assert float(count) == 199 + number, "nobody is told what was before he asked"


async def test_the_address_of_its_own_cannot_be_filled_up_for_good(service: Service) -> None:
    port = free_port()
    await service.start(OUTPUT_QUOTA="watch", METRICS_LISTEN=f"127.0.0.1:{port}")
    held = []
    for _ in range(CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metr")
        held.append((reader, writer))
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await figures(session, url)
        async with session.get(service.url + "/health/live") as answer:
            assert answer.status == 200
        async with asyncio.timeout(90):
            ends = [await reader.read() for reader, _ in held]
        assert len(ends) == CONNECTIONS, "each was silent for too long"
        assert "ocean_compute_jobs" in await figures(session, url)
    for _, writer in held:
        writer.close()
