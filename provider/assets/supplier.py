"""Turns a job's references into files: the provider's side of :mod:`compute.supply`.

A job stores DIDs, never file URLs, so each staging looks its assets up afresh. Where a
URL must be stored, for an algorithm that a consumer points to, it is sealed to the
provider's key.

``item.source`` may hold: ``userdata`` (object, already checked), ``sha256`` (the digests
that the files had when they were judged, in order), ``remote`` (object of ``endpoint`` and
``order``: another provider has the files, paid for with that transaction), and for an
unpublished algorithm either ``rawcode`` (text) or ``sealed`` (see
:func:`provider.assets.encryption.seal_url_file`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.errors import InputUnavailable
from compute.models import AlgorithmItem, DatasetItem, JobSpec
from compute.supply import InputFile, InputSupplier
from provider.assets import standing
from provider.assets.catalogue import Catalogue
from provider.assets.ddo import Ddo, Service
from provider.assets.encryption import decrypt, open_files, open_url_file
from provider.assets.fetch import Fetcher
from provider.assets.files import LocalFile, parse_file, parse_files
from provider.assets.origins.base import SourceFile
from provider.assets.origins.contract import ContractReader
from provider.assets.origins.http import Gateways
from provider.assets.origins.kinds import Origins
from provider.assets.origins.text import TextOrigin
from provider.assets.remote import Remotes
from provider.errors import AssetMalformed, FileObjectInvalid, ProviderError
from provider.keys import ProviderKey

REMEMBERED_CHECKSUMS = 4096
TRY_AGAIN = 503
RAW_NAME = "algorithm"
UNTOLD = "The other provider of this asset does not tell its files' checksums."


class AssetSupplier(InputSupplier):
    """The files of assets from a catalogue.

    ``data_folder`` holds what file objects of type ``localfile`` may name; None serves
    none. They are also served only from a catalogue that the operator writes. ``gateways``
    lead to IPFS and Arweave, ``contracts`` reads files that are contracts' answers (None
    refuses those), ``remotes`` are the providers of services elsewhere.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        key: ProviderKey,
        fetcher: Fetcher,
        *,
        data_folder: Path | None = None,
        gateways: Gateways | None = None,
        contracts: ContractReader | None = None,
        remotes: Remotes | None = None,
        empty_trust_allows: bool = True,
    ) -> None:
        self._catalogue = catalogue
        self._key = key
        self._remotes = remotes or Remotes(fetcher, key)
        self._empty_trust_allows = empty_trust_allows
        self._origins = Origins(
            fetcher,
            key.derive("input-identity"),
            gateways=gateways,
            contracts=contracts,
            data_folder=data_folder,
        )
        self._checksums: OrderedDict[str, tuple[str, str]] = OrderedDict()

    async def permit(self, owner: str, spec: JobSpec) -> None:
        await standing.check(self._catalogue, owner, spec, empty_allows=self._empty_trust_allows)

    async def dataset(self, item: DatasetItem) -> Sequence[InputFile]:
        return await self._published(item.did, item.service_id, item.source)

    async def algorithm(self, item: AlgorithmItem) -> Sequence[InputFile]:
        if item.did:
            return await self._published(item.did, item.service_id, item.source)
        if "rawcode" in item.source:
            text = str(item.source["rawcode"])
            identity = self._origins.identity(text, {})
            files: list[SourceFile] = [TextOrigin(RAW_NAME, text, identity)]
        elif "sealed" in item.source:
            try:
                file = open_url_file(str(item.source["sealed"]), self._key)
            except ProviderError as error:
                raise InputUnavailable(error.public) from None
            files = [self._origins.source(file, _userdata(item.source))]
        else:
            files = []
        return _promised(files, item.source)

    async def secret(self, sealed: str) -> bytes:
        try:
            return await asyncio.to_thread(decrypt, self._key, sealed)
        except AssetMalformed:
            # The provider's key is another one than at the start.
            raise InputUnavailable("A secret of the job cannot be opened.") from None

    async def source_files(
        self, ddo: Ddo, service: Service, userdata: Mapping[str, Any] | None = None
    ) -> list[SourceFile]:
        """The files of a service that this provider keeps, in order; asks none of their
        origins yet. ``userdata`` is already checked. Raises InputUnavailable."""
        return await asyncio.to_thread(self._files, ddo, service, userdata or {})

    def sample_files(self, ddo: Ddo, service: Service) -> list[SourceFile]:
        """The files of a service's sample, in order; none where there is none. Raises
        AssetMalformed, FileObjectInvalid."""
        raw = service.compute.sample
        local = self._catalogue.serves_local_files and ddo.is_local
        return [
            self._origins.source(file, {}, chain_id=ddo.chain_id, local=local)
            for file in (parse_files(raw) if raw is not None else [])
        ]

    def stranger_file(self, raw: Any, userdata: Mapping[str, Any] | None = None) -> SourceFile:
        """The file of a file object that anybody sent: none of this machine's. Raises
        FileObjectInvalid."""
        file = parse_file(raw)
        if isinstance(file, LocalFile):
            raise FileObjectInvalid(f"Unsupported type {file.type}")
        return self._origins.source(file, userdata or {})

    async def file_checksums(
        self, ddo: Ddo, service: Service, *, remote: bool = False
    ) -> list[str]:
        """SHA-256 (lower-case hexadecimal) of each file of a service, in order.

        Files are streamed, and read again only when their origin says they changed or
        cannot say. ``remote`` has the provider at the service's endpoint asked instead.
        Raises InputUnavailable.
        """
        if remote:
            return await self._remote_checksums(ddo, service)
        return [await self._checksum(file) for file in await self.source_files(ddo, service)]

    async def _remote_checksums(self, ddo: Ddo, service: Service) -> list[str]:
        provider = self._remotes.at(service.service_endpoint)
        infos = await provider.fileinfo(ddo.id, service.id, checksum=True)
        digests = [info.sha256 for info in infos if info.sha256 is not None]
        if len(digests) != len(infos):
            raise InputUnavailable(UNTOLD)
        return digests

    async def _published(
        self, did: str, service_id: str, source: Mapping[str, Any]
    ) -> Sequence[InputFile]:
        try:
            ddo = await self._catalogue.resolve(did)
        except ProviderError as error:
            raise InputUnavailable(error.public, temporary=error.status == TRY_AGAIN) from None
        service = ddo.service(service_id)
        if service is None:
            raise InputUnavailable(f"{did} has no such service any more.")
        if isinstance(source.get("remote"), Mapping):
            files = await self._remote_files(did, service_id, source)
        else:
            files = await self.source_files(ddo, service, _userdata(source))
        return _promised(files, source)

    async def _remote_files(
        self, did: str, service_id: str, source: Mapping[str, Any]
    ) -> list[SourceFile]:
        away = source["remote"]
        return await self._remotes.at(str(away.get("endpoint"))).files(
            did,
            service_id,
            order=str(away.get("order", "")),
            userdata=_userdata(source),
            identity=self._origins.identity,
        )

    def _files(self, ddo: Ddo, service: Service, userdata: Mapping[str, Any]) -> list[SourceFile]:
        try:
            files = open_files(ddo, service, self._key)
        except ProviderError as error:
            raise InputUnavailable(error.public) from None
        local = self._catalogue.serves_local_files and ddo.is_local
        return [
            self._origins.source(file, userdata, chain_id=ddo.chain_id, local=local)
            for file in files
        ]

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
