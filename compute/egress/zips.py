"""The members of a zip archive, all that it has.

A zip archive is read from its end, where its directory is. What the directory does not name
can lie before, between and behind: other readers find it there, so nothing much may.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import IO

from compute.egress.bounds import Doubt

_CAN_INFLATE = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_HEADER_BYTES, _ENTRY_BYTES = 30, 46
_SPARE_BYTES = 4096
_SPARE_BYTES_A_MEMBER = 256
"""What may stand beside the members: extra fields with times and for alignment, comments."""
_UTF8_NAME = 0x800


def members(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """What each member holds, those that are called folders among them. Raises Doubt, and
    whatever the standard library does on hostile bytes."""
    with zipfile.ZipFile(file) as archive:
        _require_nothing_else(archive, file.seek(0, 2))
        for entry in archive.infolist():
            if entry.flag_bits & 1 or entry.compress_type not in _CAN_INFLATE:
                raise Doubt("a member is encrypted, or packed in an uncommon way")
            # A name of a folder, with a slash at its end, says nothing of what there is.
            with archive.open(entry) as member:
                yield member


def _require_nothing_else(archive: zipfile.ZipFile, size: int) -> None:
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    spare = _SPARE_BYTES + _SPARE_BYTES_A_MEMBER * len(entries)
    at = 0
    for entry in entries:
        if entry.header_offset < at:
            raise Doubt("members of a zip archive overlap")
        spare -= entry.header_offset - at
        at = entry.header_offset + _HEADER_BYTES + _name_bytes(entry) + entry.compress_size
    directory = sum(_ENTRY_BYTES + _name_bytes(entry) for entry in entries)
    spare -= size - at - directory
    if spare < 0:
        raise Doubt("a zip archive holds more than its members")


def _name_bytes(entry: zipfile.ZipInfo) -> int:
    code = "utf-8" if entry.flag_bits & _UTF8_NAME else "cp437"
    return len(entry.orig_filename.encode(code))
