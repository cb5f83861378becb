"""What calls about assets and tokens take and give, as types; see ``shapes``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from provider.dialects.ocean.asset_requests import RAW_TYPES
from provider.dialects.ocean.shapes import (
    Address,
    Did,
    ItemQuote,
    JsonText,
    Nonce,
    ServiceId,
    Signature,
    Transaction,
    WholeNumber,
)
from provider.openapi.operations import shape


@shape
class CreateTokenQuery(TypedDict):
    address: Address
    """The wallet."""
    nonce: Nonce
    """Greater than any that this wallet has used."""
    signature: Signature
    """Over `address` + `nonce`."""
    expiration: WholeNumber
    """Until when the token is to be good, in seconds since the epoch; the provider may have it
    end earlier."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, with a typed signature (EIP-712)."""


@shape
class DeleteTokenQuery(TypedDict):
    address: Address
    """The wallet."""
    nonce: Nonce
    """Greater than any that this wallet has used."""
    signature: Signature
    """Over `address` + `nonce`."""
    token: Annotated[str, Field(min_length=1)]
    """The token."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, with a typed signature (EIP-712)."""


@shape
class Token(TypedDict):
    token: str
    """To be sent as the header `AuthToken`."""


@shape
class Success(TypedDict):
    success: str


@shape
class EncryptQuery(TypedDict):
    chainId: Annotated[str, Field(min_length=1, examples=["8996"])]
    """The chain that it is to be published on."""


@shape
class DecryptRequest(TypedDict):
    """A published document to open: by the transaction that published it, or itself. The text to
    sign is `transactionId` (`dataNftAddress` where there is none) + `decrypterAddress` +
    `chainId` + `nonce`."""

    decrypterAddress: Address
    """The wallet that asks."""
    chainId: WholeNumber
    """The chain that it was published on."""
    dataNftAddress: Address
    """The asset's data NFT."""
    transactionId: NotRequired[Transaction]
    """The transaction that published it."""
    encryptedDocument: NotRequired[str]
    """`0x` and hexadecimal digits; needed without `transactionId`, as the next two are."""
    flags: NotRequired[WholeNumber]
    """1: compressed (LZMA), 2: sealed to the provider's key; or their sum."""
    documentHash: NotRequired[str]
    """SHA-256 of the document, `0x` and hexadecimal digits."""
    nonce: Nonce
    """Greater than any that this wallet has used."""
    signature: NotRequired[Signature]
    """Left out with a token."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, with a typed signature (EIP-712)."""


@shape
class FileInfoRequest(TypedDict):
    """The files of a service (`did`, `serviceId`), or a file object itself (`type` and what that
    type has)."""

    did: NotRequired[Did]
    """The asset's DID."""
    serviceId: NotRequired[ServiceId]
    """Which of its services."""
    userdata: NotRequired[Any]
    """Parameters that the service asks for: an object, or its JSON text, at most 64 KiB."""
    checksum: NotRequired[bool | str]
    """True to have SHA-256 told as well, of files up to a size."""
    type: NotRequired[Annotated[str, Field(json_schema_extra={"enum": list(RAW_TYPES)})]]
    """What kind of file object this is."""
    url: NotRequired[Any]
    """Of `url`: the address."""
    method: NotRequired[Any]
    """Of `url`: GET or POST."""
    headers: NotRequired[Any]
    """Of `url`: an object of texts, or its JSON text."""
    hash: NotRequired[Any]
    """Of `ipfs`."""
    transactionId: NotRequired[Any]
    """Of `arweave`."""


@shape
class FileInfo(TypedDict):
    """A file as its origin describes it."""

    index: int
    """By which `download` gives it out."""
    valid: bool
    """False where the origin did not tell; then the other fields are missing."""
    type: str
    contentType: NotRequired[str]
    contentLength: NotRequired[str | int]
    """Bytes; empty where the origin does not tell."""
    filename: NotRequired[str]
    checksum: NotRequired[str]
    """SHA-256 in hexadecimal digits."""
    checksumType: NotRequired[Literal["sha256"]]


@shape
class SampleQuery(TypedDict):
    documentId: Did
    """The dataset's DID."""
    serviceId: ServiceId
    """Its service of type `compute`."""
    fileIndex: NotRequired[WholeNumber]
    """Which file; left out, they are listed."""


@shape
class SampleFile(TypedDict):
    """A file of a sample."""

    index: int
    """By which it is given out."""
    name: str
    size: NotRequired[int]
    """Bytes; left out where the origin does not tell."""


@shape
class SampleList(TypedDict):
    """What there is to try algorithms on, and what binds jobs on the data itself."""

    documentId: str
    serviceId: str
    files: list[SampleFile]
    """None where the data owner has published no sample."""
    allowRawAlgorithm: bool
    """Whether an algorithm that is no asset may run on the data."""
    allowNetworkAccess: bool
    """Whether it may have a network, where the environment has one."""
    egress: dict[str, Any] | None
    """What the data owner lets out; null where the environment's rules alone count."""


@shape
class InitializeQuery(TypedDict):
    documentId: Did
    """The asset's DID."""
    serviceId: ServiceId
    """A service of type `access`."""
    consumerAddress: Address
    """The wallet that will order."""
    transferTxId: NotRequired[Transaction]
    """An earlier order, that may still be good."""
    fileIndex: NotRequired[WholeNumber]
    """Checks that this file can be had."""
    userdata: NotRequired[JsonText]
    """Parameters that the service asks for, as JSON text."""


@shape
class AccessQuote(ItemQuote):
    """What has to be ordered."""

    nonce: NotRequired[str]
    """The last one that the wallet has used."""


@shape
class DownloadQuery(TypedDict):
    documentId: Did
    """The asset's DID."""
    serviceId: ServiceId
    """A service of type `access`."""
    consumerAddress: Address
    """The wallet that has ordered."""
    transferTxId: NotRequired[Transaction]
    """The order; left out where nothing is sold."""
    fileIndex: WholeNumber
    """Which file."""
    userdata: NotRequired[JsonText]
    """Parameters that the service asks for, as JSON text."""
    nonce: Nonce
    """Greater than any that this wallet has used."""
    signature: NotRequired[Signature]
    """Over `documentId` + `nonce`. Left out with a token."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, with a typed signature (EIP-712)."""
