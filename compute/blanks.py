"""Empty file systems, made once and written again for each that is needed.

One is a sparse file: of its size next to nothing is written. So what the tool wrote into the
first of a kind is kept in memory and put into the next, instead of running the tool again.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from pathlib import Path

_MOST_BYTES = 2 << 20
"""Of one kind; larger ones, for spaces of hundreds of gigabytes, are made anew each time."""

_MOST_KINDS = 16

Kind = tuple[int, Hashable]
"""Size of the image in bytes, and whatever else makes it differ from others."""

_Written = Sequence[tuple[int, bytes]]


class Blanks:
    """Images by kind."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Kind, _Written] = OrderedDict()

    async def put(self, path: Path, kind: Kind, make: Callable[[Path], Awaitable[None]]) -> None:
        """Have an image of this kind at ``path``; ``make`` fills a sparse file of its size.
        Raises OSError and what ``make`` raises."""
        kept = self._kept.get(kind)
        await asyncio.to_thread(_write, path, kind[0], kept or ())
        if kept is not None:
            self._kept.move_to_end(kind)
            return
        await make(path)
        written = await asyncio.to_thread(_written, path)
        if written is not None:
            self._kept[kind] = written
            while len(self._kept) > _MOST_KINDS:
                self._kept.popitem(last=False)


def _write(path: Path, size: int, parts: _Written) -> None:
    """All of it or OSError; on the disk then, as after the tool, which sees to it itself."""
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in parts:
            file.seek(offset)
            file.write(data)
        if parts:
            file.flush()
            os.fsync(file.fileno())


def _written(path: Path) -> _Written | None:
    """All that is not a hole; None if that is too much to keep."""
    parts, size = [], 0
    with path.open("rb") as file:
        for begin, end in _extents(file.fileno()):
            size += end - begin
            if size > _MOST_BYTES:
                return None
            parts.append((begin, os.pread(file.fileno(), end - begin, begin)))
    return parts


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where data begins and ends; the whole file where the file system knows no holes."""
    end, size = 0, os.fstat(descriptor).st_size
    while end < size:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        yield begin, end
