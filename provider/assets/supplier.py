"""Turns a job's references into files: the provider's side of :mod:`compute.supply`.

A job stores DIDs, never file URLs, so each staging looks its assets up afresh. Where a
URL must be stored, for an algorithm that a consumer points to, it is sealed to the
provider's key.

``item.source`` may hold: ``userdata`` (object, already checked), ``sha256`` (the digests
that the files had when they were judged, in order), and for an unpublished algorithm
either ``rawcode`` (text) or ``sealed`` (see :func:`provider.assets.encryption.seal_url_file`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import stat
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urldefrag, urlencode, urlsplit

from compute.errors import InputUnavailable
from compute.models import AlgorithmItem, DatasetItem, JobSpec
from compute.supply import Download, InputFile, InputSupplier
from provider.assets import standing
from provider.assets.catalogue import Catalogue
from provider.assets.ddo import Ddo, Service
from provider.assets.encryption import open_files, open_url_file
from provider.assets.fetch import Fetcher, no_chunks
from provider.assets.files import FileObject, LocalFile, UrlFile
from provider.errors import AssetsUnavailable, ProviderError
from provider.keys import ProviderKey

CHUNK_BYTES = 1024 * 1024
REMEMBERED_CHECKSUMS = 4096
RAW_NAME = "algorithm"
NO_LOCAL_FILES = "Files of this machine are not served for this asset."
NOT_IN_FOLDER = "This input is not a file in the data folder."


class UrlInput(InputFile):
    """A file behind a URL, read through the guarded fetcher."""

    def __init__(
        self, fetcher: Fetcher, file: UrlFile, userdata: Mapping[str, Any], identity: str
    ) -> None:
        self.name = file.name
        self.identity = identity
        self._fetcher = fetcher
        self._file = file
        self._userdata = userdata

    def open(self, validator: str | None) -> AbstractAsyncContextManager[Download]:
        file, headers, body = self._file, dict(self._file.headers), None
        url = file.url
        if file.method == "POST" and self._userdata:
            body = json.dumps(self._userdata).encode()
            if not any(name.lower() == "content-type" for name in headers):
                headers["Content-Type"] = "application/json"
        elif self._userdata:
            url = with_query(url, self._userdata)
        return self._fetcher.open(
            url, method=file.method, headers=headers, body=body, validator=validator
        )


class LocalInput(InputFile):
    """A file on this machine; ``path`` has no symbolic link left in it."""

    def __init__(self, name: str, path: Path, identity: str) -> None:
        self.name = name
        self.path: Path = path
        self.identity = identity

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        stream, status = _open_regular(self.path)
        try:
            current = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
            if current == validator:
                yield Download(True, current, None, no_chunks())
                return
            async with aclosing(_file_chunks(stream, status.st_size)) as chunks:
                yield Download(False, current, status.st_size, chunks)
        finally:
            stream.close()


class TextInput(InputFile):
    """A file that came with the request itself."""

    def __init__(self, name: str, text: str, identity: str) -> None:
        self.name = name
        self.identity = identity
        self._content = text.encode()
        self.sha256 = hashlib.sha256(self._content).hexdigest()

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        if validator == self.sha256:
            yield Download(True, validator, None, no_chunks())
        else:
            yield Download(False, self.sha256, len(self._content), _once(self._content))


class AssetSupplier(InputSupplier):
    """The files of assets from a catalogue.

    ``data_folder`` holds what file objects of type ``localfile`` may name; None serves
    none. They are also served only from a catalogue that the operator writes.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        key: ProviderKey,
        fetcher: Fetcher,
        *,
        data_folder: Path | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._key = key
        self._fetcher = fetcher
        self._data_folder = data_folder
        self._identity_key = key.derive("input-identity")
        self._checksums: OrderedDict[str, tuple[str, str]] = OrderedDict()

    async def permit(self, owner: str, spec: JobSpec) -> None:
        await standing.check(self._catalogue, owner, spec)

    async def dataset(self, item: DatasetItem) -> Sequence[InputFile]:
        return await self._published(item.did, item.service_id, item.source)

    async def algorithm(self, item: AlgorithmItem) -> Sequence[InputFile]:
        if item.did:
            return await self._published(item.did, item.service_id, item.source)
        if "rawcode" in item.source:
            text = str(item.source["rawcode"])
            files: list[InputFile] = [TextInput(RAW_NAME, text, self._identity(text, {}))]
        elif "sealed" in item.source:
            try:
                file = open_url_file(str(item.source["sealed"]), self._key)
            except ProviderError as error:
                raise InputUnavailable(error.public) from None
            files = [self._input(file, _userdata(item.source))]
        else:
            files = []
        return _promised(files, item.source)

    async def file_checksums(self, ddo: Ddo, service: Service) -> list[str]:
        """SHA-256 (lower-case hexadecimal) of each file of a service, in order.

        Files are streamed, and read again only when their origin says they changed or
        cannot say. Raises InputUnavailable.
        """
        files = await asyncio.to_thread(self._files, ddo, service, {})
        return [await self._checksum(file) for file in files]

    async def _published(
        self, did: str, service_id: str, source: Mapping[str, Any]
    ) -> Sequence[InputFile]:
        try:
            ddo = await self._catalogue.resolve(did)
        except AssetsUnavailable as error:
            raise InputUnavailable(error.public, temporary=True) from None
        except ProviderError as error:
            raise InputUnavailable(error.public) from None
        service = ddo.service(service_id)
        if service is None:
            raise InputUnavailable(f"{did} has no such service any more.")
        files = await asyncio.to_thread(self._files, ddo, service, _userdata(source))
        return _promised(files, source)

    def _files(self, ddo: Ddo, service: Service, userdata: Mapping[str, Any]) -> list[InputFile]:
        try:
            files = open_files(ddo, service, self._key)
        except ProviderError as error:
            raise InputUnavailable(error.public) from None
        return [self._input(file, userdata) for file in files]

    def _input(self, file: FileObject, userdata: Mapping[str, Any]) -> InputFile:
        if isinstance(file, UrlFile):
            identity = self._identity(file.model_dump(), userdata)
            return UrlInput(self._fetcher, file, userdata, identity)
        return LocalInput(file.name, self._local_path(file), self._identity(file.model_dump(), {}))

    def _local_path(self, file: LocalFile) -> Path:
        if self._data_folder is None or not self._catalogue.serves_local_files:
            raise InputUnavailable(NO_LOCAL_FILES)
        try:
            folder = self._data_folder.resolve(strict=True)
            path = (folder / file.path).resolve(strict=True)
        except (OSError, RuntimeError):
            raise InputUnavailable(NOT_IN_FOLDER) from None
        if not path.is_relative_to(folder) or not path.is_file():
            raise InputUnavailable(NOT_IN_FOLDER)
        return path

    def _identity(self, origin: object, userdata: Mapping[str, Any]) -> str:
        """Keyed, because a bare digest of a URL could be guessed."""
        text = json.dumps([origin, userdata], sort_keys=True, separators=(",", ":"))
        return hmac.digest(self._identity_key, text.encode(), "sha256").hex()

    async def _checksum(self, file: InputFile) -> str:
        validator, known = self._checksums.get(file.identity, (None, ""))
        async with file.open(validator) as download:
            if download.unchanged:
                self._checksums.move_to_end(file.identity)
                return known
            digest = hashlib.sha256()
            async for chunk in download.chunks:
                digest.update(chunk)
        self._remember(file.identity, download.validator, digest.hexdigest())
        return digest.hexdigest()

    def _remember(self, identity: str, validator: str | None, digest: str) -> None:
        self._checksums.pop(identity, None)
        if validator is not None:
            self._checksums[identity] = (validator, digest)
        while len(self._checksums) > REMEMBERED_CHECKSUMS:
            self._checksums.popitem(last=False)


def with_query(url: str, userdata: Mapping[str, Any]) -> str:
    """The URL with userdata added to its query; the publisher's own parameters stay as
    they are and cannot be given again."""
    bare = urldefrag(url).url
    query = urlsplit(bare).query
    taken = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    pairs = [
        (name, _query_text(each))
        for name, value in userdata.items()
        if name not in taken and value is not None
        for each in (value if isinstance(value, list) else [value])
    ]
    if not pairs:
        return bare
    glue = "&" if query else ("" if bare.endswith("?") else "?")
    return f"{bare}{glue}{urlencode(pairs)}"


def _query_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _userdata(source: Mapping[str, Any]) -> Mapping[str, Any]:
    given = source.get("userdata")
    return given if isinstance(given, dict) else {}


def _promised(files: Sequence[InputFile], source: Mapping[str, Any]) -> Sequence[InputFile]:
    digests = source.get("sha256")
    if digests is None:
        return files
    if len(digests) != len(files):
        raise InputUnavailable("The asset's list of files has changed since the start.")
    for file, digest in zip(files, digests, strict=True):
        file.sha256 = str(digest).lower()
    return files


def _open_regular(path: Path) -> tuple[BinaryIO, os.stat_result]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise InputUnavailable(NOT_IN_FOLDER) from None
    stream = os.fdopen(descriptor, "rb", buffering=0)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        stream.close()
        raise InputUnavailable(NOT_IN_FOLDER)
    return stream, status


async def _file_chunks(stream: BinaryIO, size: int) -> AsyncGenerator[bytes, None]:
    left = size
    while chunk := await asyncio.to_thread(stream.read, CHUNK_BYTES):
        left -= len(chunk)
        yield chunk
    if left != 0:
        raise InputUnavailable("This input changed while it was read.", temporary=True)


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content
