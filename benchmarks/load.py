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
    loop = asyncio.get_running_loop()
    refused = loop.create_future()
    await loop.create_connection(lambda: _Client(requests, refused), "127.0.0.1", port)
    return await refused


class _Client(asyncio.Protocol):
    """One connection that sends a request as soon as the answer to the one before is there."""

    def __init__(self, requests: Sequence[bytes], refused: asyncio.Future[int]) -> None:
        self._left = iter(requests)
        self._refused = refused
        self._other_answers = 0
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._other_answers += not head.startswith(b"HTTP/1.1 200")
        self._received = b""
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._refused.done():
            self._refused.set_exception(error or ConnectionError("the server hung up"))

    def _ask(self) -> None:
        assert self._transport
        request = next(self._left, None)
        if request is not None:
            self._transport.write(request)
            return
        self._refused.set_result(self._other_answers)
        self._transport.close()


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
