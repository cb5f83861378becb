"""Results that only their owner can read: each file sealed to a public key of his.

A sealed file is a header and chunks (docs/encryption.md has it byte for byte). The header
carries a random key of the file's own, wrapped with ECIES for the owner's secp256k1 key in the
layout of eciespy; each chunk is AES-256-GCM under that key. The chunk's number and whether it
is the last one are in the nonce, the whole header is authenticated with every chunk (the STREAM
construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015). So a file that was cut, reordered,
put together of two, or stands in another one's place, of this job or another, does not open.

Memory is bounded by a chunk, and any chunk can be opened without those before it. The libraries,
five megabytes, are imported when the first result is sealed.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from compute.errors import PublishingFailed
from compute.models import ResultFile
from compute.results import ResultType, path_of

SUFFIX = ".sealed"
"""Of the names of sealed results."""

MAGIC = b"OCSEALED"
VERSION = 1
CHUNK_BYTES = 256 << 10
TAG_BYTES = 16
KEY_BYTES = 32
WRAPPED_BYTES = 65 + 16 + 16 + KEY_BYTES
"""Ephemeral point, nonce, tag, the file's key."""

TYPES: dict[ResultType, int] = {"output": 1, "algorithmLog": 2, "filteringLog": 3}

_FIELDS = struct.Struct(f">8sBBHI16sI33s{WRAPPED_BYTES}s")
_NONCE = struct.Struct(">3xQB")
HEADER_BYTES = _FIELDS.size


def sealed_size(clear_bytes: int) -> int:
    """How long a sealed file is."""
    chunks = max(1, math.ceil(clear_bytes / CHUNK_BYTES))
    return HEADER_BYTES + clear_bytes + TAG_BYTES * chunks


def header(file: ResultFile, job_id: str, public_key: bytes, wrapped_key: bytes) -> bytes:
    """What a sealed file begins with. ``public_key`` is compressed, the job's id is 32
    hexadecimal digits."""
    return _FIELDS.pack(
        MAGIC,
        VERSION,
        TYPES[file.type],
        0,
        CHUNK_BYTES,
        bytes.fromhex(job_id),
        file.index,
        public_key,
        wrapped_key,
    )


def chunks(clear: BinaryIO, head: bytes, key: bytes) -> Iterator[bytes]:
    """The sealed chunks of what can be read from ``clear``. Blocking."""
    from Crypto.Cipher import AES

    number, piece = 0, clear.read(CHUNK_BYTES)
    while True:
        following = clear.read(CHUNK_BYTES) if len(piece) == CHUNK_BYTES else b""
        nonce = _NONCE.pack(number, not following)
        cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
        cipher.update(head)
        sealed, tag = cipher.encrypt_and_digest(piece)
        yield sealed + tag
        if not following:
            return
        number, piece = number + 1, following


def seal_all(
    folder: Path,
    files: Sequence[ResultFile],
    public_key: str,
    job_id: str,
    *,
    may_go_on: Callable[[], bool] = lambda: True,
) -> tuple[ResultFile, ...]:
    """Have each gathered file in ``folder`` replaced by a sealed one; the files as they are
    handed out.

    ``public_key`` is hexadecimal. ``may_go_on`` is asked before each chunk: a process that
    stood still may have lost the job, and the folder. A fault of the disk leaves nothing of the
    folder. Blocking: call it in a thread. Raises PublishingFailed.
    """
    try:
        return tuple(_seal(folder, file, public_key, job_id, may_go_on) for file in files)
    except OSError as error:
        if may_go_on():
            shutil.rmtree(folder, ignore_errors=True)
        raise PublishingFailed(f"results could not be stored: {error.strerror}") from error


def _seal(
    folder: Path,
    file: ResultFile,
    public_key: str,
    job_id: str,
    may_go_on: Callable[[], bool],
) -> ResultFile:
    import ecies

    clear_path = path_of(folder, file)
    sealed_path = clear_path.with_name(f"{file.index}{SUFFIX}")
    key, recipient = secrets.token_bytes(KEY_BYTES), bytes.fromhex(public_key.removeprefix("0x"))
    head = header(file, job_id, recipient, ecies.encrypt(recipient, key))
    digest, size = hashlib.sha256(head), len(head)
    with clear_path.open("rb") as clear, sealed_path.open("wb") as out:
        out.write(head)
        for chunk in chunks(clear, head, key):
            if not may_go_on():
                raise PublishingFailed("results were not sealed: the job is another process's")
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    sealed_path.replace(clear_path)
    return ResultFile(file.index, file.filename + SUFFIX, size, digest.hexdigest(), file.type)
