"""An origin in memory with real files behind the contract of inputs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from compute.errors import InputUnavailable
from compute.models import AlgorithmItem, DatasetItem, JobSpec
from compute.supply import Download, InputFile, InputSupplier


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class MemoryFile(InputFile):
    """A file whose origin counts its openings, and fails and waits as told.

    ``failures`` are raised one an opening; ``after`` bytes come before each. ``gate``,
    when given, holds the content back until it is set.
    """

    def __init__(
        self,
        name: str,
        content: bytes = b"",
        *,
        identity: str | None = None,
        validator: str | None = None,
        sha256: str | None = None,
        path: Path | None = None,
        announces_size: bool = True,
    ) -> None:
        self.name = name
        self.content = content
        self.identity = identity or digest(name.encode())
        self.validator = validator
        self.sha256 = sha256
        self.path = path
        self.announces_size = announces_size
        self.opened_with: list[str | None] = []
        self.sent = 0
        self.failures: list[InputUnavailable] = []
        self.after = 0
        self.gate: asyncio.Event | None = None
        self.held = asyncio.Event()

    @property
    def opened(self) -> int:
        return len(self.opened_with)

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        self.opened_with.append(validator)
        await asyncio.sleep(0)
        unchanged = validator is not None and validator == self.validator
        size = len(self.content) if self.announces_size and not unchanged else None
        chunks = self._chunks(unchanged)
        try:
            yield Download(unchanged, self.validator, size, chunks)
        finally:
            await chunks.aclose()

    async def _chunks(self, unchanged: bool) -> AsyncGenerator[bytes, None]:
        failure = self.failures.pop(0) if self.failures else None
        content = self.content[: self.after] if failure else self.content
        if not unchanged:
            for start in range(0, len(content), 1 << 16):
                yield content[start : start + (1 << 16)]
                self.sent += 1
        self.held.set()
        if self.gate is not None:
            await self.gate.wait()
        if failure is not None:
            raise failure


class MemorySupplier(InputSupplier):
    """Files by DID; a DID it does not know is an input that is not to be had."""

    def __init__(
        self,
        datasets: dict[str, Sequence[InputFile]] | None = None,
        algorithm: Sequence[InputFile] = (),
    ) -> None:
        self.datasets = datasets or {}
        self.algorithm_files = algorithm
        self.withdrawn = ""

    async def permit(self, owner: str, spec: JobSpec) -> None:
        if self.withdrawn:
            raise InputUnavailable(self.withdrawn)

    async def dataset(self, item: DatasetItem) -> Sequence[InputFile]:
        await asyncio.sleep(0)
        try:
            return self.datasets[item.did]
        except KeyError:
            raise InputUnavailable("No such dataset") from None

    async def algorithm(self, item: AlgorithmItem) -> Sequence[InputFile]:
        await asyncio.sleep(0)
        return self.algorithm_files

    async def secret(self, sealed: str) -> bytes:
        if not sealed.startswith("sealed:"):
            raise InputUnavailable("A secret of the job cannot be opened.")
        return sealed.removeprefix("sealed:").encode()
