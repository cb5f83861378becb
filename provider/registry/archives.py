"""Archives from anyone: what is looked at before a zip is kept, how it is unpacked, how one is
made.

A zip is only as large as its list of entries says: reading stops there, whatever the packed
data would go on to. So the list is judged, and nothing has to be unpacked for it. Its own size
is bounded while it is read, since a list may claim millions of entries.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provider.registry.errors import ArchiveRefused

MOST_ENTRIES: Final = 10_000
MOST_DEPTH: Final = 32

_MOST_LIST_BYTES: Final = 8 << 20
_MOST_NAME: Final = 1024
_MOST_PART_BYTES: Final = 255
_SHOWN_NAME: Final = 100
_PLAIN_BYTES: Final = 16 << 20
"""However well this little packs, it is no bomb."""
_MOST_RATIO: Final = 250
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_ENCRYPTED: Final = 0x1
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_BROKEN: Final = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    NotImplementedError,
    ValueError,
    EOFError,
)


@dataclass(frozen=True, slots=True)
class Packed:
    """A file that goes into an archive: its name there, and where it is."""

    name: str
    path: Path
    size: int


def check(path: Path, *, most_bytes: int) -> None:
    """A zip whose entries stay inside of the folder that it is unpacked in, are plain files and
    folders, and are no more than ``most_bytes`` in all. Raises ArchiveRefused."""
    with _opened(path) as archive:
        _judge(archive, path.stat().st_size, most_bytes)


def unpack(path: Path, folder: Path, *, most_bytes: int) -> None:
    """:func:`check` it, and write its files into ``folder``, which is empty. Raises
    ArchiveRefused, OSError."""
    with _opened(path) as archive:
        _judge(archive, path.stat().st_size, most_bytes)
        for entry in archive.infolist():
            _write(archive, entry, folder)


def pack(files: Sequence[Packed], target: Path) -> None:
    """A new zip that is the same for the same files: sorted by name, without times. Raises
    OSError."""
    names: set[str] = set()
    with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as archive:
        for number, file in enumerate(sorted(files, key=lambda each: each.name)):
            name = file.name if file.name not in names else f"{file.name}.{number}"
            names.add(name)
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.file_size = file.size
            with file.path.open("rb") as source, archive.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed, 1 << 20)
    with target.open("rb") as made:
        os.fsync(made.fileno())


class _Sparing(io.FileIO):
    """A file of which nobody reads much at once: the list of entries is read in one piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_LIST_BYTES:
            raise zipfile.BadZipFile
        return super().read(-1 if size is None else size) or b""


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with _Sparing(path, "r") as file:
        try:
            archive = zipfile.ZipFile(file)
        except (*_BROKEN, OSError):
            raise ArchiveRefused(
                "the file is not a zip, or one whose list of entries cannot be read;"
                " send a zip, or name another extension"
            ) from None
        with archive:
            yield archive


def _judge(archive: zipfile.ZipFile, packed_bytes: int, most_bytes: int) -> None:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise ArchiveRefused(
            f"the zip has {len(entries)} entries; {MOST_ENTRIES} are taken at most"
        )
    kinds: dict[str, bool] = {}
    for entry in entries:
        problem = _problem(entry)
        if not problem and not 0 <= entry.header_offset < packed_bytes:
            problem = "is said to be where the zip has nothing"
        name = entry.filename.rstrip("/")
        if not problem and name in kinds:
            problem = "is there twice"
        if problem:
            raise ArchiveRefused(f"the zip's entry {_shown(entry.filename)} {problem}")
        kinds[name] = entry.is_dir()
    _judge_folders(kinds)
    _judge_size(sum(entry.file_size for entry in entries), packed_bytes, most_bytes)


def _judge_folders(kinds: dict[str, bool]) -> None:
    """Nothing lies below a file."""
    for name in kinds:
        while "/" in name:
            name = name.rpartition("/")[0]
            if not kinds.get(name, True):
                raise ArchiveRefused(f"the zip's entry {_shown(name)} is a file and a folder")


def _judge_size(size: int, packed_bytes: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise ArchiveRefused(f"the zip unpacks to {size} bytes; {most_bytes} are taken at most")
    if size > max(_PLAIN_BYTES, packed_bytes * _MOST_RATIO):
        raise ArchiveRefused(f"the zip unpacks to more than {_MOST_RATIO} times its own size")


def _problem(entry: zipfile.ZipInfo) -> str:
    """What is wrong with an entry; nothing if all is well."""
    name = entry.filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return "has an absolute name"
    if "\\" in name or not name.isprintable() or len(name) > _MOST_NAME:
        return "has a name that is not taken: of printable letters, with / between folders"
    parts = name.rstrip("/").split("/")
    if any(part in {"", ".", ".."} for part in parts) or len(parts) > MOST_DEPTH:
        return "leads out of its folder, or too deep into it"
    if any(len(part.encode()) > _MOST_PART_BYTES for part in parts):
        return "has a name that is too long"
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a link or a device; only files and folders are taken"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in _METHODS:
        return "is packed in a way that is not taken; use deflate"
    return ""


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / entry.filename
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(entry) as packed, target.open("xb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except _BROKEN:
        raise ArchiveRefused(
            f"the zip's entry {_shown(entry.filename)} cannot be unpacked: it is damaged"
        ) from None
    target.chmod(0o755 if entry.external_attr >> 16 & stat.S_IXUSR else 0o644)


def _shown(name: str) -> str:
    """As an error tells it: names are anybody's."""
    return repr(name if len(name) <= _SHOWN_NAME else name[:_SHOWN_NAME] + "…")
