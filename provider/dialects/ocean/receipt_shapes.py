"""What the call for a receipt takes and gives, as types: see ``shapes``."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from provider.dialects.ocean.shapes import Address, JobId, Nonce, Signature, WholeNumber
from provider.openapi.operations import shape


@shape
class ReceiptQuery(TypedDict):
    jobId: JobId
    """The job."""
    consumerAddress: NotRequired[Address]
    """With a signature or a token: the owner of the job, or a reviewer of its results."""
    nonce: NotRequired[Nonce]
    """With a signature; it may be shown again until a greater one is used."""
    signature: NotRequired[Signature]
    """Over `consumerAddress` + `jobId` + `nonce`, each as sent."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, with a typed signature (EIP-712)."""


@shape
class ReceiptSignature(TypedDict):
    keyid: Address
    """The provider's address."""
    sig: str
    """65 bytes `r || s || v` in base64."""


@shape
class Receipt(TypedDict):
    """A DSSE envelope."""

    payload: str
    """The statement in base64: canonical JSON (RFC 8785)."""
    payloadType: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[ReceiptSignature], Field(min_length=1, max_length=1)]
