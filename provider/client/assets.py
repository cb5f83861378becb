"""Published assets: what they are, what their files are, buying access, downloading.

Their documents come from a metadata cache (an Aquarius API); the provider serves one
itself for the chains that it follows. Download of an access service is signed like a job's
result, and resumed where the origin keeps its files apart (``ETag``).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from provider.auth import messages
from provider.client.downloads import Progress, safe_path
from provider.client.errors import AnswerNotUnderstoodError, ClientUsageError, NotFoundError
from provider.client.models import Dataset
from provider.client.ordering import Buyer, Payer, Told, service_index
from provider.client.session import ProviderSession, kept, no_progress
from provider.client.transport import read_text
from provider.client.wallet import Call

_DOCUMENT = "api/aquarius/assets/ddo"
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a provider tells of one file of a service. ``size`` is None where the origin does
    not say; ``checksum`` is its SHA-256 where it was asked for and told."""

    index: int
    valid: bool
    type: str = ""
    size: int | None = None
    content_type: str = ""
    filename: str = ""
    checksum: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, document: Mapping[str, Any], position: int) -> Self:
        size, index = str(document.get("contentLength", "")), document.get("index")
        return cls(
            index=index if type(index) is int else position,
            valid=document.get("valid") is True,
            type=str(document.get("type") or ""),
            size=int(size) if size.isascii() and size.isdigit() and len(size) < 20 else None,
            content_type=str(document.get("contentType") or ""),
            filename=str(document.get("filename") or ""),
            checksum=str(document.get("checksum") or ""),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a download goes; ``here`` when this very file is there already."""

    path: Path
    here: bool


class AssetCalls(ProviderSession):
    """Everything about assets that is not a job."""

    async def asset(self, did: str) -> dict[str, Any]:
        """The asset's document (DDO). Raises NotFoundError."""
        url = self._metadata_url / _DOCUMENT / did
        transport = self._calls.transport
        answer = await self._patience.persist(lambda: transport.json_at(url))
        if not isinstance(answer, dict) or answer.get("id") != did:
            raise AnswerNotUnderstoodError("The answer is not the asset's document.")
        return answer

    async def wait_for_asset(
        self, did: str, tx: str = "", *, timeout_s: float = 60.0
    ) -> dict[str, Any]:
        """The asset's document once it is indexed, and, with ``tx``, once what that
        transaction published is. Raises NotFoundError after ``timeout_s``."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                document = await self.asset(did)
            except NotFoundError:
                if time.monotonic() > end:
                    raise
            else:
                event = document.get("event")
                if not tx or (isinstance(event, dict) and event.get("tx") == tx):
                    return document
                if time.monotonic() > end:
                    raise NotFoundError(f"{did} is not indexed as of transaction {tx} yet.")
            await self._patience.sleep(_POLL_S)

    async def service_index(self, did: str, service_id: str, chain_id: int) -> int:
        """Where a service stands in the asset's document, as orders on a chain name it."""
        return service_index(await self.asset(did), service_id, chain_id)

    async def fileinfo(self, asset: Dataset | str, *, checksum: bool = False) -> list[FileInfo]:
        """The files of a service, looked at now. ``checksum`` has the provider read them."""
        chosen = Dataset.of(asset)
        body: dict[str, Any] = {"did": chosen.did, "serviceId": chosen.service_id}
        return await self._fileinfo(body, chosen.userdata, checksum=checksum)

    async def fileinfo_of(
        self, file: Mapping[str, Any], *, checksum: bool = False
    ) -> list[FileInfo]:
        """The same for a file object (``{"type": "url", …}``) before it is published."""
        return await self._fileinfo(file, None, checksum=checksum)

    async def _fileinfo(
        self, body: Mapping[str, Any], userdata: Mapping[str, Any] | None, *, checksum: bool
    ) -> list[FileInfo]:
        more: dict[str, Any] = {"checksum": True} if checksum else {}
        if userdata is not None:
            more["userdata"] = userdata
        answer = await self._ask("fileinfo", body={**body, **more})
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise AnswerNotUnderstoodError("The provider's answer lists no files.")
        return [FileInfo.from_wire(item, position) for position, item in enumerate(answer)]

    async def encrypt(self, content: bytes, chain_id: int) -> str:
        """``content`` for the provider's eyes only, as ``0x…``."""
        headers = {"Content-Type": "application/octet-stream"}
        transport = self._calls.transport

        async def attempt() -> str:
            query = {"chainId": str(chain_id)}
            async with transport.open(
                "encrypt", query=query, data=content, headers=headers
            ) as response:
                return await read_text(response)

        sealed = await self._patience.persist(attempt)
        if not sealed.startswith("0x"):
            raise AnswerNotUnderstoodError("The provider's answer is not what it encrypted.")
        return sealed

    async def initialize(
        self, asset: Dataset | str, *, index: int | None = None, consumer: str = ""
    ) -> dict[str, Any]:
        """What access to a service needs: ``validOrder``, or ``datatoken`` and
        ``providerFee``, as sent. With ``index`` that file must be there."""
        chosen = Dataset.of(asset)
        query = {
            "documentId": chosen.did,
            "serviceId": chosen.service_id,
            "consumerAddress": consumer or self.address,
            **_file_parameters(chosen),
        }
        if index is not None:
            query["fileIndex"] = str(index)
        answer = await self._ask("initialize", query)
        if not isinstance(answer, dict):
            raise AnswerNotUnderstoodError("The provider's answer holds no quote.")
        return answer

    async def order_access(
        self,
        asset: Dataset | str,
        *,
        pay: Payer,
        most_fee: int | None = None,
        told: Told | None = None,
    ) -> Dataset:
        """The asset with an order that lets this wallet download: the one that it carries if
        that is good, else a new one."""
        chosen = Dataset.of(asset)
        buyer = Buyer(pay, self.address, self.service_index, most_fee=most_fee, told=told)
        return await buyer.for_download(await self.initialize(chosen), chosen)

    async def destination(
        self,
        asset: Dataset | str,
        target: Path | str,
        *,
        index: int = 0,
        overwrite: bool = False,
    ) -> Destination:
        """Where :meth:`download_asset` would write, looked at before access is paid for.

        Raises NotFoundError when the service has no such file, DownloadFailedError when
        another file is in the way.
        """
        chosen = Dataset.of(asset)
        info = await self._info(chosen, index)
        path = Path(target)
        if await _is_folder(target):
            path = path / _filename(chosen, info)
        here = not overwrite and await asyncio.to_thread(path.exists)
        if here:
            await asyncio.to_thread(kept, path, info.checksum)
        return Destination(path, here)

    async def download_asset(
        self,
        asset: Dataset | str,
        target: Path | str,
        *,
        index: int = 0,
        progress: Progress = no_progress,
        overwrite: bool = False,
    ) -> Path:
        """Bring one file of an access service to disk; returns its path.

        ``asset`` carries its order (see :meth:`order_access`) where it is sold. ``target`` as
        for a job's results.
        """
        chosen = Dataset.of(asset)
        path, checksum = Path(target), ""
        if await _is_folder(target):
            info = await self._info(chosen, index)
            path, checksum = path / _filename(chosen, info), info.checksum

        def opener(headers: dict[str, str]) -> Any:
            return self._calls.open(self._download_call(chosen, index, headers))

        return await self._bring(opener, path, checksum, progress, overwrite=overwrite)

    async def sample(self, asset: Dataset | str) -> dict[str, Any]:
        """What the owner of a dataset shows of it to everybody (``files``), and what binds jobs
        on it, as sent. Raises NotFoundError."""
        answer = await self._ask("computeSample", _service_of(Dataset.of(asset)))
        if not isinstance(answer, dict) or not isinstance(answer.get("files"), list):
            raise AnswerNotUnderstoodError("The provider's answer describes no sample.")
        return answer

    async def download_sample(
        self,
        asset: Dataset | str,
        path: Path,
        *,
        index: int = 0,
        progress: Progress = no_progress,
        overwrite: bool = True,
        most_bytes: int | None = None,
    ) -> Path:
        """Bring one file of a dataset's sample to disk, as the file ``path``; none that is larger
        than ``most_bytes``."""
        query = {**_service_of(Dataset.of(asset)), "fileIndex": str(index)}

        def opener(headers: dict[str, str]) -> Any:
            return self._calls.transport.open("computeSample", query=query, headers=headers)

        return await self._bring(
            opener, path, "", progress, overwrite=overwrite, most_bytes=most_bytes
        )

    async def _info(self, asset: Dataset, index: int) -> FileInfo:
        for info in await self.fileinfo(asset):
            if info.index == index:
                return info
        raise NotFoundError(f"Service {asset.service_id!r} has no file {index}.")

    def _download_call(self, asset: Dataset, index: int, headers: Mapping[str, str]) -> Call:
        parameters = {
            "documentId": asset.did,
            "serviceId": asset.service_id,
            "consumerAddress": self.address,
            "fileIndex": str(index),
            **_file_parameters(asset),
        }
        return Call(
            "download",
            parameters,
            lambda nonce: messages.download_text(asset.did, nonce),
            headers=headers,
        )


def _service_of(asset: Dataset) -> dict[str, str]:
    return {"documentId": asset.did, "serviceId": asset.service_id}


def _file_parameters(asset: Dataset) -> dict[str, str]:
    """What a query says of an order and of the parameters that a consumer chooses."""
    named = {"transferTxId": asset.transfer_tx_id} if asset.transfer_tx_id else {}
    if asset.userdata is None:
        return named
    try:
        return {**named, "userdata": json.dumps(asset.userdata)}
    except (TypeError, ValueError):
        raise ClientUsageError("The parameters of the asset are not JSON.") from None


async def _is_folder(target: Path | str) -> bool:
    ends_as_folder = isinstance(target, str) and target.endswith(("/", os.sep))
    return ends_as_folder or await asyncio.to_thread(Path(target).is_dir)


def _filename(asset: Dataset, info: FileInfo) -> Path:
    """The file's own name made safe, or one from the DID where its origin tells none."""
    return safe_path(info.filename or f"{asset.did.rpartition(':')[2][:16]}-{info.index}")
