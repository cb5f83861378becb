"""Bytes on their way to the disk: hashed and written while more of them come in.

Receiving takes about as long as hashing and writing, so the two are done at once: the event
loop receives a batch while a thread has the one before. Batches stay the pieces that they came
in, since to join them is one more way through memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO

BATCH_BYTES = 1 << 20
"""How much is hashed and written in one trip to a thread."""

Batch = Sequence[bytes]


async def batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[Batch]:
    """The same bytes in batches of about BATCH_BYTES, to spare trips to a thread."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= BATCH_BYTES:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


class Intake:
    """A new file that is being filled. Each verb raises OSError, also for what an earlier one
    left under way."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._digest = hashlib.sha256()
        self._writing: asyncio.Future[None] | None = None

    async def take(self, batch: Batch) -> None:
        """Hash and write the batch; returns once the one before is written."""
        await self._written()
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._take, batch)

    async def finish(self) -> str:
        """Have all of it on the disk, never to be written to again; its SHA-256."""
        await self._written()
        self._out.flush()
        os.fchmod(self._out.fileno(), 0o444)
        await asyncio.get_running_loop().run_in_executor(None, os.fsync, self._out.fileno())
        return self._digest.hexdigest()

    async def abandon(self) -> None:
        """Wait until no thread has to do with the file any more."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)

    def _take(self, batch: Batch) -> None:
        for chunk in batch:
            self._digest.update(chunk)
            self._out.write(chunk)


@contextlib.asynccontextmanager
async def intake(path: Path) -> AsyncIterator[Intake]:
    """A new file at ``path``; what is half-made stays there. Raises OSError."""
    with path.open("xb") as out:
        into = Intake(out)
        try:
            yield into
        finally:
            await into.abandon()
