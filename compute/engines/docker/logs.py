"""A container's output, from the engine's stream into a file of bounded size.

The log may be far larger than what is kept and comes oldest first, so the file is
written as a ring and put in order at the end; memory stays at one block.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from compute.errors import LogCut

BLOCK = 256 * 1024
_HEADER = struct.Struct(">BxxxL")

_PLAIN = bytes(set(range(0x20, 0x7F)) - set(b'"\\<>&'))
_LARGEST_GROWTH, _BESIDES = 5, 110
"""By how much JSON makes a byte longer at most, and what an entry takes besides."""

_LATEST = 8

Entry = tuple[bytes, bytes]
"""An entry's time stamp, and what it says."""


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


class Frames:
    """Takes Docker's stream of entries with time stamps apart, as it arrives."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> list[Entry]:
        """The entries that are whole by now."""
        held = self._rest + block
        position, size = 0, len(held)
        found: list[Entry] = []
        while size - position >= _HEADER.size:
            start = position + _HEADER.size
            end = start + _HEADER.unpack_from(held, position)[1]
            if end > size:
                break
            said = held.find(b" ", start, end) + 1
            found.append((held[start : said - 1], held[said:end]))
            position = end
        self._rest = held[position:]
        return found


class Known:
    """What is known of a log that is read bit by bit: how it begins, and where one is.

    ``first`` is a word for its first entry, ``count`` the number of entries so far, ``weight``
    at least what these take in the engine's file.
    """

    def __init__(self) -> None:
        self.first = ""
        self.count = 0
        self.weight = 0
        self.latest: deque[str] = deque(maxlen=_LATEST)

    def note(self, found: Sequence[Entry]) -> bytes:
        """The next entries; what they say."""
        if not found:
            return b""
        self.first = self.first or word(found[0])
        self.count += len(found)
        self.latest.extend(map(word, found[-_LATEST:]))
        said = b"".join([each for _, each in found])
        special = len(said.translate(None, _PLAIN))
        self.weight += len(said) + _LARGEST_GROWTH * special + _BESIDES * len(found)
        return said


class Going:
    """Finds in a log that is read again the entries that are new.

    As long as it begins as before, that is a matter of counting. Where its oldest part was
    dropped, the latest entries that are known must still be there. Raises LogCut when they
    are not, or could be taken for others: the parts of one long line have one time stamp.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._left = known.count
        self._sought = deque(known.latest)
        self._seen: deque[str] = deque(maxlen=max(1, len(known.latest)))
        self._same: bool | None = None
        self._found = not known.count

    def feed(self, entries: list[Entry]) -> list[Entry]:
        """Those of the next entries that are new."""
        if self._found or not entries:
            return entries
        if self._same is None:
            self._same = word(entries[0]) == self._known.first
        if self._same:
            passed = min(self._left, len(entries))
            self._left -= passed
            self._found = not self._left
            return entries[passed:]
        for position, entry in enumerate(entries, 1):
            self._seen.append(word(entry))
            if self._seen == self._sought:
                self._found = self._certain()
                return entries[position:]
        return []

    def finish(self) -> None:
        """After the last entry. Raises LogCut."""
        if not self._found:
            raise LogCut("The log grew faster than it was read")

    def _certain(self) -> bool:
        stamps = {each.rpartition(".")[0] for each in self._sought}
        if len(self._sought) > 1 and len(stamps) == 1:
            raise LogCut("A line is longer than the log may be")
        return True


def word(entry: Entry) -> str:
    """One entry in short: its time stamp, and a checksum of what it says."""
    stamp, said = entry
    return f"{stamp.decode('ascii', 'replace')}.{zlib.crc32(said):08x}"


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
