"""The calls about assets as they come over the wire: fileinfo, initialize, download, decrypt.

Field names of old clients stand here and in ``asset_responses`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provider.access import Wanted
from provider.assets.ddo import is_did
from provider.auth import messages
from provider.auth.caller import Claim
from provider.dialects.ocean.claims import made_claim
from provider.dialects.ocean.fields import Form, decoded
from provider.dialects.reading import Parameters
from provider.errors import InvalidRequest, ProviderError
from provider.publishing import OpenCall, Published

RAW_TYPES = ("ipfs", "url", "arweave", "graphql", "smartcontract", "s3")
"""Kinds of file that anybody may ask about. Files of this machine are not among them."""

_NEEDED = {"url": ["url"], "ipfs": ["hash"], "arweave": ["transactionId"]}
_FALSE = frozenset({"", "0", "false"})
_MAX_FLAGS = 255


@dataclass(frozen=True, slots=True)
class InfoCall:
    """fileinfo: of a service (``did``), else of a file object (``raw``)."""

    did: str
    service_id: str
    raw: Mapping[str, Any] | None = field(repr=False)
    userdata: Any = field(repr=False)
    checksum: bool


def fileinfo(values: Parameters) -> InfoCall:
    """fileinfo."""
    form = Form(values)
    did, kind = form.identifier("did"), form.text("type")
    if not did and not kind:
        form.fault("did", "field is required when type is not present.")
        form.fault("type", "field is required when did is not present.")
    elif did and not is_did(did):
        form.fault("did", "format is invalid.")
    elif did:
        form.identifier("serviceId", required=True)
    else:
        _check_raw(form, kind)
    userdata = form.document("userdata")
    form.check()
    raw = None if did else _file_object(values)
    return InfoCall(did, form.identifier("serviceId"), raw, userdata, _truth(values))


def initialize(values: Parameters) -> Wanted:
    """initialize."""
    form = Form(values)
    wanted = Wanted(
        did=form.identifier("documentId", required=True),
        service_id=form.identifier("serviceId", required=True),
        consumer=form.address("consumerAddress"),
        order=form.transaction("transferTxId"),
        file_index=None if form.raw("fileIndex") in (None, "") else form.number("fileIndex"),
        userdata=form.document("userdata"),
    )
    form.check()
    return wanted


def download(values: Parameters, token: str) -> tuple[Claim, Wanted]:
    """download. The order may be missing, since not everything is sold."""
    form = Form(values)
    did = form.identifier("documentId", required=True)
    form.check()
    service_id = form.identifier("serviceId", required=True)
    consumer = form.address("consumerAddress")
    form.check()
    order = form.identifier("transferTxId")
    index = form.number("fileIndex")
    userdata = form.document("userdata")
    form.check()
    claim = _claim(
        form,
        token,
        "download",
        consumer,
        lambda nonce: [messages.download_text(did, nonce)],
        "documentId + nonce",
    )
    return claim, Wanted(did, service_id, consumer, order, index, userdata)


@dataclass(frozen=True, slots=True)
class SampleCall:
    """computeSample; ``file_index`` is None where the list is meant."""

    did: str
    service_id: str
    file_index: int | None


def sample(values: Parameters) -> SampleCall:
    """computeSample."""
    form = Form(values)
    call = SampleCall(
        did=form.identifier("documentId", required=True),
        service_id=form.identifier("serviceId", required=True),
        file_index=None if form.raw("fileIndex") in (None, "") else form.number("fileIndex"),
    )
    form.check()
    return call


def decrypt(values: Parameters, token: str) -> OpenCall:
    """decrypt, by the transaction that published a document or with the document itself."""
    form = Form(values)
    decrypter = form.address("decrypterAddress")
    chain_id = form.number("chainId")
    nft = form.address("dataNftAddress")
    tx = form.transaction("transactionId")
    form.check()
    if not tx:
        for name in ("encryptedDocument", "flags", "documentHash"):
            if form.raw(name) in (None, ""):
                form.fault(name, "field is required when transactionId is not present.")
        form.check()
    subject, chain_text = tx or nft, form.text("chainId")
    claim = _claim(
        form,
        token,
        "decrypt",
        decrypter,
        lambda nonce: [messages.decrypt_text(subject, decrypter, chain_text, nonce)],
        "(transactionId or dataNftAddress) + decrypterAddress + chainId + nonce",
    )
    return OpenCall(claim, chain_id, nft, tx, None if tx else _published(form))


def _claim(
    form: Form,
    token: str,
    operation: str,
    address: str,
    texts: Callable[[str], Sequence[str]],
    words: str,
) -> Claim:
    form.text("nonce", required=True)
    return made_claim(form, token, operation, address, texts, words)


def _published(form: Form) -> Published:
    flags = form.number("flags")
    if flags > _MAX_FLAGS:
        form.fault("flags", "format is invalid.")
    form.check()
    try:
        data = bytes.fromhex(form.text("encryptedDocument").removeprefix("0x"))
        digest = bytes.fromhex(form.text("documentHash").removeprefix("0x"))
    except ValueError:
        raise ProviderError("Failed to convert input args to bytes.") from None
    form.check()
    return Published(data, flags, digest.hex())


def _check_raw(form: Form, kind: str) -> None:
    if kind not in RAW_TYPES:
        raise InvalidRequest({"type": ["The selected type is invalid."]})
    for name in _NEEDED.get(kind, []):
        if form.raw(name) in (None, ""):
            form.fault(name, f"field is required when type is {kind}.")


def _file_object(values: Parameters) -> Mapping[str, Any]:
    """The file object, which a query can hold only as text."""
    texts = ("headers", "abi", "s3Access")
    return {name: decoded(each) if name in texts else each for name, each in values.items()}


def _truth(values: Parameters) -> bool:
    given = values.get("checksum")
    return given.lower() not in _FALSE if isinstance(given, str) else bool(given)
