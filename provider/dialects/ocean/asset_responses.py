"""What goes back over the wire about assets: descriptions of files, quotes, refusals.

Old clients print refusals as they are, with the name of the network that the asset is on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from provider.access import AccessQuote
from provider.chain.chains import Chains
from provider.describing import FileInfo
from provider.dialects.ocean import responses
from provider.errors import (
    BadParameter,
    InvalidRequest,
    KeyedRefusal,
    NonceInvalid,
    ProviderError,
    SignatureError,
    UnknownAsset,
)
from provider.samples import Sample, terms

_DEVELOPMENT = 8996
_SPEAK_FOR_THEMSELVES = (
    BadParameter,
    InvalidRequest,
    KeyedRefusal,
    NonceInvalid,
    SignatureError,
    UnknownAsset,
)


def network_name(chain_id: int | None, chains: Chains) -> str:
    """What the network of an asset is called in refusals."""
    if chain_id == _DEVELOPMENT:
        return "Ganache"
    access = chains.get(chain_id) if chain_id is not None else None
    return access.settings.name if access else "Unknown"


@contextmanager
def told_by(network: str) -> Iterator[None]:
    """Put the network's name before the refusals that are raised inside.

    Not before those that name a field or resource instead, and not before faults of ours.
    """
    try:
        yield
    except ProviderError as error:
        if error.status < 500 and not isinstance(error, _SPEAK_FOR_THEMSELVES):
            error.public = f"Provider {network}: {error.public}"
        raise


def file_infos(infos: Sequence[FileInfo]) -> list[dict[str, Any]]:
    """``fileinfo``: one object a file."""
    return [_file_info(index, info) for index, info in enumerate(infos)]


def _file_info(index: int, info: FileInfo) -> dict[str, Any]:
    document: dict[str, Any] = {"index": index, "valid": info.probe is not None, "type": info.type}
    if info.probe is None:
        return document
    size = info.probe.size
    document["contentType"] = info.probe.content_type.partition(";")[0].strip()
    if info.type == "smartcontract":
        document["contentLength"] = size or 0
    else:
        document["contentLength"] = "" if size is None else str(size)
        document["filename"] = info.probe.name
    if info.checksum:
        document |= {"checksum": info.checksum, "checksumType": "sha256"}
    return document


def sample(found: Sample) -> dict[str, Any]:
    """``computeSample`` without a file: what there is, and what binds jobs on the data."""
    listed = []
    for index, info in enumerate(found.files):
        told: dict[str, Any] = {"index": index, "name": info.probe.name if info.probe else ""}
        if info.probe is not None and info.probe.size is not None:
            told["size"] = info.probe.size
        listed.append(told)
    document = {"documentId": found.ddo.id, "serviceId": found.service.id, "files": listed}
    return document | terms(found.service)


def quote(made: AccessQuote) -> dict[str, Any]:
    """``initialize``: an order that still gives access, alone; else what an order needs, and
    where an earlier one only wants its fee renewed, that one."""
    document = responses.item_quote(made.item)
    return document if made.item.fee is None else document | {"nonce": str(made.nonce)}
