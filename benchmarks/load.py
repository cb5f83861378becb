"""A lean HTTP/1.1 load generator: prebuilt requests over kept-alive connections.

Light enough not to be what is measured; counts answers other than 200.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CLOCK_TICKS = 100


@dataclass(frozen=True)
class Load:
    """Requests a second, CPU seconds the server spent a request, and other answers."""

    per_second: float
    cpu_s: float
    refused: int


async def drive(port: int, pid: int, requests: Sequence[bytes], clients: int) -> Load:
    """Send all requests over ``clients`` connections; ``pid`` is the server's process."""
    shares = [requests[start::clients] for start in range(clients)]
    cpu, began = cpu_seconds(pid), time.perf_counter()
    refused = sum(await asyncio.gather(*(_client(port, share) for share in shares)))
    elapsed = time.perf_counter() - began
    return Load(len(requests) / elapsed, (cpu_seconds(pid) - cpu) / len(requests), refused)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, and of those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _CLOCK_TICKS


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no resident memory")


async def _client(port: int, requests: Sequence[bytes]) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    refused = 0
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        refused += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    return refused


async def fetch(port: int, target: str) -> float:
    """Download one answer and throw it away; megabytes a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    began = time.perf_counter()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    size = left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    while left:
        left -= len(await reader.read(1 << 22))
    elapsed = time.perf_counter() - began
    writer.close()
    await writer.wait_closed()
    return size / elapsed / 1e6
