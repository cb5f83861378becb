"""Brings results to disk: whole, verified, resumed where a connection broke.

Bytes go to ``<name>.part`` first and get their name only when their SHA-256 is the one
that the provider promised (the ``ETag`` of a result, which the list of results repeats).
After a break the next request asks for the rest, on condition that the file is still the
same (``Range`` with ``If-Range``).

File names are chosen by the algorithm, which may be hostile: ``safe_path`` keeps them
below the folder they are meant for.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from aiohttp import ClientResponse

from provider.client.errors import DownloadFailedError, ProviderUnreachableError
from provider.client.patience import Patience
from provider.client.transport import network_errors

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes in all, if known."""

_CHUNK_BYTES = 1 << 20
_NAME_BYTES = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_UNSAFE = re.compile(r'[<>:"|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class Opener(Protocol):
    """Opens the result, newly signed, with these request headers."""

    def __call__(self, headers: dict[str, str]) -> AbstractAsyncContextManager[ClientResponse]: ...


def safe_path(filename: str) -> Path:
    """A relative path that stays below the folder it is joined to, on any system.

    Folders are kept; parts that climb or are empty are dropped, hidden names get a
    leading ``_``, unprintable and reserved characters become ``_``, long names are cut.
    """
    parts = [_safe_part(part) for part in filename.replace("\\", "/").split("/")]
    return Path(*([part for part in parts if part] or ["result"]))


def _safe_part(part: str) -> str:
    if part.strip(" .") == "":
        return ""
    name = "".join(c if c.isprintable() else "_" for c in _UNSAFE.sub("_", part)).rstrip(" .")
    if name.startswith((".", "-", "~")) or _RESERVED.fullmatch(name):
        name = "_" + name
    raw = name.encode("utf-8", "replace")
    if len(raw) <= _NAME_BYTES:
        return raw.decode()
    suffix = PurePosixPath(name).suffix.encode("utf-8", "replace")[:20]
    return (raw[: _NAME_BYTES - len(suffix)] + suffix).decode("utf-8", "ignore")


class PartFile:
    """The growing file beside its target. Its methods block: they run in a thread."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.size = 0
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None

    def open(self, *, resume: bool) -> None:
        """Open for writing; what an earlier run left is kept when ``resume``, and hashed."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.fdopen(os.open(self.path, flags, 0o666), "r+b")
        if resume:
            while chunk := self._file.read(_CHUNK_BYTES):
                self._hash.update(chunk)
                self.size += len(chunk)
        else:
            self.restart()

    def restart(self) -> None:
        """Throw away what is here."""
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        assert self._file is not None
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self) -> Path:
        """Give the file its name."""
        self.close()
        self.path.replace(self.target)
        return self.target

    def discard(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


class Download:
    """One result on its way to ``target``.

    ``sha256`` is what the list of results says, empty if it says nothing. ``most_bytes`` is
    how large the file may be, None for any size.
    """

    def __init__(
        self,
        opener: Opener,
        target: Path,
        sha256: str,
        patience: Patience,
        progress: Progress,
        *,
        most_bytes: int | None = None,
    ) -> None:
        self._opener = opener
        self._part = PartFile(target)
        self._expected = sha256 if _SHA256.fullmatch(sha256) else ""
        self._etag = f'"{self._expected}"' if self._expected else ""
        self._total: int | None = None
        self._patience = patience
        self._progress = progress
        self._most_bytes = most_bytes

    async def run(self) -> Path:
        """Fetch, verify, rename. Raises DownloadFailedError or what the provider refuses."""
        try:
            await asyncio.to_thread(self._part.open, resume=bool(self._etag))
        except OSError as error:
            raise DownloadFailedError(
                f"{self._part.path} cannot be written: {error.strerror}."
            ) from error
        try:
            return await self._run()
        except OSError as error:
            raise DownloadFailedError(
                f"{self._part.target} cannot be written: {error.strerror}."
            ) from error
        finally:
            self._part.close()

    async def _run(self) -> Path:
        resumed = self._part.size > 0
        await self._fetch_all()
        if resumed and not self._intact():
            await asyncio.to_thread(self._part.restart)
            await self._fetch_all()
        if not self._intact():
            await asyncio.to_thread(self._part.discard)
            raise DownloadFailedError(
                f"{self._part.target.name} did not arrive as the provider announced it"
                " (its SHA-256 differs)."
            )
        return await asyncio.to_thread(self._part.finish)

    def _intact(self) -> bool:
        return not self._expected or self._part.sha256() == self._expected

    async def _fetch_all(self) -> None:
        """Try until the end is reached. Only tries that bring nothing count against patience."""
        pauses, failures = self._patience.pauses(), 0
        while True:
            before = self._part.size
            try:
                await self._fetch_rest()
            except ProviderUnreachableError:
                failures = 0 if self._part.size > before else failures + 1
                if failures >= self._patience.attempts:
                    raise
                await self._patience.sleep(next(pauses))
            else:
                return

    async def _fetch_rest(self) -> None:
        headers = {"Accept-Encoding": "identity"}
        if self._part.size and self._etag:
            headers |= {"Range": f"bytes={self._part.size}-", "If-Range": self._etag}
        async with self._opener(headers) as response:
            if await self._nothing_left(response):
                return
            await self._receive(response)
        if self._total is not None and self._part.size < self._total:
            raise ProviderUnreachableError("The result broke off early.", maybe_received=True)

    async def _nothing_left(self, response: ClientResponse) -> bool:
        """Take in what the headers say; True when the part is already all of it."""
        if response.status == 416:
            if self._expected and self._intact():
                return True
            await asyncio.to_thread(self._part.restart)
            raise ProviderUnreachableError("The result is another one now.", maybe_received=True)
        start, self._total = _extent(response)
        if start != self._part.size:
            if start:
                raise DownloadFailedError("The provider sent another part than was asked for.")
            await asyncio.to_thread(self._part.restart)
        self._learn(response.headers.get("ETag", ""))
        return False

    def _learn(self, etag: str) -> None:
        """Without a promise from the list of results, the first answer's ETag is the promise."""
        self._etag = "" if etag.startswith("W/") else etag
        told = self._etag.strip('"').lower()
        if not self._expected and _SHA256.fullmatch(told):
            self._expected = told

    async def _receive(self, response: ClientResponse) -> None:
        self._progress(self._part.size, self._total)
        while True:
            with network_errors():
                chunk = await response.content.read(_CHUNK_BYTES)
            if not chunk:
                return
            if self._most_bytes is not None and self._part.size + len(chunk) > self._most_bytes:
                await asyncio.to_thread(self._part.discard)
                raise DownloadFailedError(
                    f"{self._part.target.name} is larger than the {self._most_bytes} bytes that it"
                    " may have."
                )
            await asyncio.to_thread(self._part.write, chunk)
            self._progress(self._part.size, self._total)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _extent(response: ClientResponse) -> tuple[int, int | None]:
    """Where the body starts in the file, and how long the file is."""
    if response.status == 206:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            raise DownloadFailedError("The provider sent a part without saying which.")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    return 0, response.content_length
