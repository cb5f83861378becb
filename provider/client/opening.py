"""Opening results that the provider sealed to a public key, on the owner's machine.

What is sealed how is told in docs/encryption.md. A file is opened into ``<name>.opening`` and
gets its name when the last chunk was found genuine, so nothing unproven is ever left under it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

import ecies
from Crypto.Cipher import AES

from provider.auth.publickeys import normal_public_key, public_key_of
from provider.client.downloads import file_sha256, safe_path
from provider.client.errors import ClientUsageError, ComputeClientError, DownloadFailedError
from provider.client.models import Job, Result
from provider.client.wallet import Key, private_key_of

SUFFIX = ".sealed"

_MAGIC, _VERSION = b"OCSEALED", 1
_FIELDS = struct.Struct(">8sBBHI16sI33s129s")
_NONCE = struct.Struct(">3xQB")
_TAG_BYTES = 16
_KEY_BYTES = 32
_CHUNK_BYTES = range(64 << 10, (1 << 20) + 1)
_TYPES = {1: "output", 2: "algorithmLog", 3: "filteringLog"}
_CHANGED = "It was changed or cut off, or is no sealed result."


class SealBrokenError(ComputeClientError):
    """A sealed file is not what the provider sealed: changed, cut, or another one."""


class WrongKeyError(ClientUsageError):
    """The file was sealed to another key."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a sealed file says of itself. ``public_key`` is whom it was sealed to; ``raw`` are
    the header's bytes, which every chunk vouches for."""

    raw: bytes = field(repr=False)
    type: str
    chunk_bytes: int
    job_id: str
    index: int
    public_key: str
    wrapped_key: bytes = field(repr=False)

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """The header at the beginning of a file. Raises SealBrokenError."""
        raw = file.read(_FIELDS.size)
        if len(raw) != _FIELDS.size or not raw.startswith(_MAGIC):
            raise SealBrokenError("This is no sealed result.")
        _, version, type_, reserved, chunk_bytes, job, index, recipient, wrapped = _FIELDS.unpack(
            raw
        )
        if version != _VERSION:
            raise SealBrokenError(
                f"This file is sealed in version {version} of the format, which is not known here."
            )
        try:
            public_key = normal_public_key(recipient.hex())
        except ValueError:
            raise SealBrokenError(_CHANGED) from None
        if type_ not in _TYPES or reserved or chunk_bytes not in _CHUNK_BYTES:
            raise SealBrokenError(_CHANGED)
        return cls(raw, _TYPES[type_], chunk_bytes, job.hex(), index, public_key, wrapped)

    def offset_of(self, chunk: int) -> int:
        """The byte of the sealed file at which a chunk begins, counted from 0."""
        return len(self.raw) + chunk * (self.chunk_bytes + _TAG_BYTES)

    def open_key(self, private_key: bytes) -> bytes:
        """The file's own key. Raises WrongKeyError, SealBrokenError."""
        own = public_key_of(private_key)
        if own != self.public_key:
            raise WrongKeyError(
                f"It was sealed to the public key {self.public_key}, but this key's is {own}."
                " Give the file of the right private key."
            )
        try:
            key = ecies.decrypt(private_key, self.wrapped_key)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise SealBrokenError(_CHANGED)
        return key


def pieces(file: BinaryIO, header: Header, key: bytes, first: int = 0) -> Iterator[bytes]:
    """The clear text from chunk ``first`` on, each piece verified, of a file that stands at its
    :meth:`Header.offset_of`. Raises SealBrokenError; what came before it is genuine, but was
    not all."""
    size = header.chunk_bytes + _TAG_BYTES
    number, sealed = first, file.read(size)
    while True:
        following = file.read(size) if len(sealed) == size else b""
        nonce = _NONCE.pack(number, not following)
        cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG_BYTES)
        cipher.update(header.raw)
        try:
            piece = cipher.decrypt_and_verify(sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:])
        except ValueError:
            raise SealBrokenError(_CHANGED) from None
        if number and not piece:
            raise SealBrokenError(_CHANGED)
        yield piece
        if not following:
            return
        number, sealed = number + 1, following


def open_file(
    sealed: Path,
    target: Path,
    private_key: bytes,
    *,
    meant: tuple[str, int, str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Have the clear text of ``sealed`` at ``target``, whole or not at all. Blocking.

    ``meant`` is which file it has to be: the job's id, index and type. A target that is there
    already is kept if it is the same, and replaced only with ``overwrite``. Raises
    SealBrokenError, WrongKeyError, DownloadFailedError.
    """
    partial = target.with_name(target.name + ".opening")
    try:
        with sealed.open("rb") as file:
            header = Header.read(file)
            if meant is not None and (header.job_id, header.index, header.type) != meant:
                raise SealBrokenError(
                    f"It is result {header.index} of job {header.job_id} ({header.type}), not the"
                    " one that was asked for."
                )
            _write(partial, pieces(file, header, header.open_key(private_key)))
        if not overwrite and target.exists():
            _require_same(partial, target)
        partial.replace(target)
    except (SealBrokenError, WrongKeyError) as error:
        raise type(error)(f"{sealed} cannot be opened. {error}") from None
    except OSError as error:
        raise DownloadFailedError(
            f"{sealed} cannot be opened as {target}: {error.strerror}."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return target


def _write(path: Path, clear: Iterator[bytes]) -> None:
    """Replaces what a run that was killed left there."""
    path.unlink(missing_ok=True)
    with path.open("xb") as out:
        for piece in clear:
            out.write(piece)


def _require_same(partial: Path, target: Path) -> None:
    if not target.is_file() or file_sha256(target) != file_sha256(partial):
        raise DownloadFailedError(
            f"{target} exists already and is another file. Choose another folder, or replace it"
            " (--overwrite)."
        )


def clear_name(name: str) -> str:
    """What a sealed file was called before."""
    return name.removesuffix(SUFFIX)


@dataclass(frozen=True, slots=True)
class Opening:
    """That results are to be opened as they are brought, and with which private key.
    ``keep_sealed`` leaves the sealed files beside the clear ones."""

    private_key: bytes = field(repr=False)
    keep_sealed: bool = False

    @classmethod
    def with_key(cls, key: Key, *, keep_sealed: bool = False) -> Self:
        """``key`` is what :class:`~provider.client.ComputeClient` takes. Raises
        ClientUsageError."""
        return cls(private_key_of(key), keep_sealed)

    def require(self, job: Job) -> None:
        """Raises ClientUsageError unless this key opens the job's results: better before they
        are brought than after."""
        wanted, own = job.encrypt_to, public_key_of(self.private_key)
        if not wanted:
            raise ClientUsageError(
                f"The results of job {job.id} are not encrypted: bring them without decrypting."
            )
        if wanted != own:
            raise WrongKeyError(
                f"The results of job {job.id} are encrypted to the public key {wanted}, but this"
                f" key's is {own}. Give the file of the right private key."
            )

    async def bring(
        self,
        bring: Callable[[Path], Awaitable[Path]],
        job_id: str,
        result: Result,
        path: Path,
        *,
        overwrite: bool,
    ) -> Path:
        """Bring the sealed file beside ``path`` with ``bring``, which goes on where it broke
        off, and open it there."""
        sealed = path.with_name(path.name + SUFFIX)
        was_there = await asyncio.to_thread(sealed.exists)
        await bring(sealed)
        try:
            meant = (job_id, result.index, result.type)
            return await asyncio.to_thread(
                open_file, sealed, path, self.private_key, meant=meant, overwrite=overwrite
            )
        finally:
            if not (was_there or self.keep_sealed):
                await asyncio.to_thread(os.unlink, sealed)


def name_of(result: Result, opening: Opening | None) -> str:
    """What a result will be called here."""
    return clear_name(result.filename) if opening else result.filename


def places(folder: Path, results: Sequence[Result], opening: Opening | None) -> dict[Path, Result]:
    """A path of its own for each result, also for names that become the same."""
    found: dict[Path, Result] = {}
    for result in results:
        path = folder / safe_path(name_of(result, opening))
        while path in found:
            path = path.with_name(f"{result.index}-{path.name}")
        found[path] = result
    return found
