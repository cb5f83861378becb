"""From a file object to its origin: the one place that knows all kinds."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from compute.errors import InputUnavailable
from provider.assets.fetch import Fetcher
from provider.assets.files import (
    ArweaveFile,
    ContractFile,
    FileObject,
    GraphqlFile,
    IpfsFile,
    LocalFile,
    S3File,
    UrlFile,
)
from provider.assets.origins import http, s3
from provider.assets.origins.base import GATEWAYS, SourceFile
from provider.assets.origins.contract import ContractOrigin, ContractReader
from provider.assets.origins.http import Gateways, HttpOrigin, HttpRequest, MakeRequest, always
from provider.assets.origins.local import NO_LOCAL_FILES, LocalOrigin, local_path

NAME_DIGITS = 16
NOTHING: Mapping[str, Any] = {}


class Origins:
    """Opens file objects. ``data_folder`` holds what ``localfile`` may name, None serves
    none; ``contracts`` is asked for ``smartcontract``, None refuses those."""

    def __init__(
        self,
        fetcher: Fetcher,
        identity_key: bytes,
        *,
        gateways: Gateways | None = None,
        contracts: ContractReader | None = None,
        data_folder: Path | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._identity_key = identity_key
        self._gateways = gateways or Gateways()
        self._contracts = contracts
        self._data_folder = data_folder

    def source(
        self,
        file: FileObject,
        userdata: Mapping[str, Any],
        *,
        chain_id: int | None = None,
        local: bool = False,
    ) -> SourceFile:
        """The file behind a file object; asks nothing of its origin yet.

        ``local`` says whether the object's author may name files of this machine. Raises
        InputUnavailable.
        """
        if isinstance(file, LocalFile):
            return self._local(file, local)
        if isinstance(file, ContractFile):
            return self._contract(file, userdata, chain_id)
        make, counts = self._request(file, userdata)
        name = file.name or self._stable_name(file)
        identity = self.identity(file.model_dump(), counts)
        source = HttpOrigin(self._fetcher, file.type, make, name=name, identity=identity)
        source.origin = self._origin(file)
        return source

    def identity(self, origin: object, userdata: Mapping[str, Any]) -> str:
        """Keyed, because a bare digest of a URL could be guessed."""
        text = json.dumps([origin, userdata], sort_keys=True, separators=(",", ":"))
        return hmac.digest(self._identity_key, text.encode(), "sha256").hex()

    def _request(
        self,
        file: UrlFile | IpfsFile | ArweaveFile | GraphqlFile | S3File,
        userdata: Mapping[str, Any],
    ) -> tuple[MakeRequest, Mapping[str, Any]]:
        """How to ask, and what of userdata makes a difference."""
        request: HttpRequest
        match file:
            case S3File():
                return s3.signing(file.s3Access), NOTHING
            case IpfsFile() | ArweaveFile():
                return always(http.gateway_request(file, self._gateways)), NOTHING
            case GraphqlFile():
                request = http.graphql_request(file, userdata)
            case UrlFile():
                request = http.url_request(file, userdata)
        return always(request), userdata

    def _origin(self, file: UrlFile | IpfsFile | ArweaveFile | GraphqlFile | S3File) -> str:
        """As in :attr:`SourceFile.origin`; the host is as secret as the address."""
        if isinstance(file, IpfsFile | ArweaveFile):
            return GATEWAYS
        url = file.s3Access.endpoint or "" if isinstance(file, S3File) else file.url
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
        return self.identity(["host", host], NOTHING)

    def _contract(
        self, file: ContractFile, userdata: Mapping[str, Any], chain_id: int | None
    ) -> SourceFile:
        origin = [file.model_dump(), file.chainId or chain_id]
        return ContractOrigin(
            self._contracts,
            file,
            userdata,
            chain_id=chain_id,
            name=self._stable_name(file) + ".json",
            identity=self.identity(origin, userdata),
        )

    def _local(self, file: LocalFile, permitted: bool) -> SourceFile:
        if self._data_folder is None or not permitted:
            raise InputUnavailable(NO_LOCAL_FILES)
        path = local_path(self._data_folder, file.path)
        return LocalOrigin(file.name, path, self.identity(file.model_dump(), NOTHING))

    def _stable_name(self, file: FileObject) -> str:
        """The same for the same file, and saying nothing about where it is."""
        return self.identity(file.model_dump(), NOTHING)[:NAME_DIGITS]
