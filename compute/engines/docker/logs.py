"""A container's output, from the engine's stream into a file of bounded size.

The log may be far larger than what is kept and comes oldest first, so the file is
written as a ring and put in order at the end; memory stays at one block.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

BLOCK = 256 * 1024
_HEADER = struct.Struct(">BxxxL")


def payload(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What the container wrote, stdout and stderr in order, out of Docker's framing."""
    header, left = bytearray(), 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            if left:
                part = rest[:left]
                left -= len(part)
                yield bytes(part)
            else:
                part = rest[: _HEADER.size - len(header)]
                header += part
                if len(header) == _HEADER.size:
                    left = _HEADER.unpack(header)[1]
                    header.clear()
            rest = rest[len(part) :]


class Entries:
    """Takes Docker's stream of entries with time stamps apart, as it arrives.

    ``first`` is the stamp of the first entry and a checksum of what it says, since the parts
    of one long line have one stamp; ``last`` is the latest stamp, ``count`` the number of
    entries so far. Stamps are of one length and sort as the times do.
    """

    def __init__(self) -> None:
        self.first = ""
        self.last = ""
        self.count = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """What the entries say that are whole by now."""
        held = self._rest + chunk
        position, size, parts = 0, len(held), []
        stamp = slice(0, 0)
        while size - position >= _HEADER.size:
            start = position + _HEADER.size
            end = start + _HEADER.unpack_from(held, position)[1]
            if end > size:
                break
            said = held.find(b" ", start, end) + 1
            parts.append(held[said:end])
            stamp = slice(start, said - 1)
            position = end
        self._rest = held[position:]
        self.count += len(parts)
        if parts:
            self.last = held[stamp].decode("ascii", "replace")
            self.first = self.first or self._word(held, parts[0])
        return b"".join(parts)

    @staticmethod
    def _word(held: bytes, said: bytes) -> str:
        stamp = held[_HEADER.size : held.index(b" ", _HEADER.size)].decode("ascii", "replace")
        return f"{stamp}.{zlib.crc32(said):08x}"


def stamp_of(beginning: str) -> str:
    """The time stamp in what :attr:`Entries.first` says."""
    return beginning.rpartition(".")[0]


class NewestPart:
    """A file that takes any amount of bytes and keeps the last ``limit`` of these.

    Written beside ``target`` and renamed over it by :meth:`publish`; leaving the ``with``
    block without that leaves nothing. A symlink at either name is replaced, never followed.
    """

    def __init__(self, target: Path, limit: int) -> None:
        self._target = target
        self._limit = max(0, limit)
        self._partial = target.with_name(f".{target.name}.partial")
        self._total = 0
        self._file: BinaryIO

    def __enter__(self) -> NewestPart:
        self._file = _create(self._partial)
        return self

    def write(self, data: bytes) -> None:
        if not self._limit:
            return
        skipped = max(0, len(data) - self._limit)
        rest = memoryview(data)[skipped:]
        self._total += skipped
        while rest:
            position = self._total % self._limit
            part = rest[: self._limit - position]
            self._file.seek(position)
            self._file.write(part)
            self._total += len(part)
            rest = rest[len(part) :]

    def publish(self) -> None:
        """Make what was kept visible under the target's name."""
        if self._total > self._limit:
            self._unroll(self._total % self._limit)
        self._file.close()
        self._partial.replace(self._target)

    def _unroll(self, start: int) -> None:
        ring = self._file
        self._partial.unlink()
        self._file = _create(self._partial)
        with ring:
            for begin, end in ((start, self._limit), (0, start)):
                ring.seek(begin)
                for length in _blocks(end - begin):
                    self._file.write(ring.read(length))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)


def _create(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o640), "w+b")


def _blocks(total: int) -> Iterator[int]:
    while total > 0:
        yield min(BLOCK, total)
        total -= BLOCK
