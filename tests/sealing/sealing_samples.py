"""Keys and sealed files."""

from __future__ import annotations

from pathlib import Path

from compute import sealing
from compute.models import ResultFile
from compute.results import ResultType
from provider.auth.publickeys import public_key_of

KEY, OTHER_KEY = bytes([7] * 32), bytes([8] * 32)
JOB, OTHER_JOB = "ab" * 16, "cd" * 16
CHUNK = sealing.CHUNK_BYTES
STEP = CHUNK + sealing.TAG_BYTES
HEAD = sealing.HEADER_BYTES


def content(size: int) -> bytes:
    """Bytes of which no two chunks are alike."""
    return b"".join(number.to_bytes(8) for number in range(-(-size // 8)))[:size]


def sealed_file(
    folder: Path,
    clear: bytes,
    *,
    job: str = JOB,
    index: int = 0,
    kind: ResultType = "output",
    key: bytes = KEY,
) -> Path:
    """A file as the provider seals it."""
    (folder / str(index)).write_bytes(clear)
    gathered = ResultFile(index, f"{index}.bin", len(clear), "", kind)
    sealing.seal_all(folder, [gathered], public_key_of(key), job)
    path = folder / f"{index}.bin.sealed"
    return (folder / str(index)).rename(path)
