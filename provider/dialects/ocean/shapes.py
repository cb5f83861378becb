"""What jobs' calls take and give, as types: read for the API's description alone.

The rules themselves are in ``requests``, whose texts clients read. Tests hold what is written
here against real requests and answers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from provider.dialects.ocean.egress_shapes import EnvironmentEgress
from provider.dialects.ocean.fields import MAX_DOCUMENT_CHARACTERS, MAX_ID_CHARACTERS
from provider.dialects.ocean.key_shapes import PublicKey
from provider.dialects.ocean.requests import MAX_CODE_CHARACTERS, MAX_DATASETS
from provider.dialects.ocean.runtime_shapes import Runtime
from provider.openapi.operations import shape

WALLET = "0x90F8bf6A479f320ead074411a4B0e7944Ea8c9C1"

Address = Annotated[
    str,
    Field(pattern="^0x[0-9a-fA-F]{40}$", examples=[WALLET]),
]
Did = Annotated[
    str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, examples=["did:op:" + "d1" * 32])
]
ServiceId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, examples=["compute"])]
Transaction = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{64}$", examples=["0x" + "7a" * 32])]
JobId = Annotated[str, Field(min_length=1, examples=["0f4c1e0c8a6d4f5a9d3b7a1f2e6c8b90"])]
Nonce = Annotated[
    int | Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,19})$")],
    Field(examples=["1732780800000000000"]),
]
WholeNumber = Annotated[
    Annotated[int, Field(ge=0, lt=10**18)] | Annotated[str, Field(pattern="^[0-9]{1,18}$")],
    Field(examples=[0]),
]
Signature = Annotated[str, Field(examples=["0x" + "5a" * 64 + "1b"])]
Bytes32 = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
Checksum = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
JsonText = Annotated[str, Field(max_length=MAX_DOCUMENT_CHARACTERS)]


@shape
class FieldErrors(TypedDict):
    """Fields that are missing or wrong, each with what is wrong about it."""

    success: Literal[False]
    message: Literal["Validation error"]
    errors: dict[str, list[str] | str]
    """By field, with dots for nested ones."""


@shape
class Refusal(TypedDict):
    """A rule says no."""

    error: str | dict[str, str]
    """A sentence, or a code by the resource that it is about."""
    context: NotRequired[None]
    """There where the URL itself is wrong."""


@shape
class Root(TypedDict):
    """What this provider is and where its calls are."""

    software: Literal["ocean-compute"]
    version: str
    chainIds: list[int]
    """Chains on which it sells; none where access goes by lists of wallets."""
    providerAddress: Address
    """The provider's own wallet."""
    providerAddresses: NotRequired[dict[str, Address]]
    """The same by chain id, where there are chains."""
    serviceEndpoints: dict[str, Annotated[list[str], Field(min_length=2, max_length=2)]]
    """Method and path of each call by its name."""


@shape
class NonceQuery(TypedDict):
    userAddress: Annotated[str, Field(min_length=1, examples=[WALLET])]
    """The wallet; any text will do, and one that never signed has the first nonce."""


@shape
class LastNonce(TypedDict):
    nonce: Annotated[str, Field(pattern="^[0-9]+$")]
    """The last one that the wallet has used: sign with a greater one."""


@shape
class EnvironmentsQuery(TypedDict):
    chainId: NotRequired[str]
    """Only what is offered on this chain. Ignored where no chain is followed."""


@shape
class Environment(TypedDict):
    """What may be run where, with which limits, for how much. Some things have two names."""

    id: str
    desc: str
    nCPU: float
    """CPU cores of a job."""
    cpuNumber: float
    """The same."""
    cpuType: str
    nGPU: int
    """GPUs of a job."""
    gpuNumber: int
    """The same."""
    gpuType: str
    ramGB: float
    """Memory of a job in GiB."""
    diskGB: float
    """Room for outputs in GiB."""
    priceMin: float
    """Price of a minute, in whole units of `feeToken`."""
    feeToken: Address
    """The token that the price is in."""
    free: bool
    currentJobs: int
    """Jobs that run."""
    queuedJobs: int
    """Jobs that wait."""
    maxJobs: int
    """Jobs that run at the same time at most."""
    maxJobsPerConsumer: int
    """Of these, jobs of one wallet at most."""
    maxQueueWait: int
    """Seconds that a job may wait for its start."""
    maxJobDuration: int
    """Seconds that a job may run."""
    storageExpiry: int
    """Seconds that results are kept."""
    runtime: Runtime
    """What else decides how a job runs: enough to try it under the same conditions."""
    consumerAddress: str
    """The wallet that an order for a job here has to name as consumer."""
    egress: EnvironmentEgress
    lastSeen: str
    """Seconds since the epoch, as text."""


@shape
class DatasetChoice(TypedDict):
    """A dataset that a job reads."""

    documentId: Did
    """The asset's DID."""
    serviceId: ServiceId
    """Which of its services."""
    transferTxId: NotRequired[Transaction]
    """The order's transaction; left out where nothing is sold."""
    userdata: NotRequired[Any]
    """Parameters that the dataset asks for: an object, or its JSON text, at most 64 KiB."""


@shape
class Container(TypedDict):
    """An image and what is run in it."""

    image: Annotated[str, Field(examples=["python"])]
    tag: NotRequired[Annotated[str, Field(examples=["3.11-slim-bookworm"])]]
    entrypoint: Annotated[str, Field(examples=["python3 $ALGO"])]
    """A command line; `$ALGO` is where the algorithm's file is."""
    checksum: Annotated[str, Field(examples=["sha256:" + "0a" * 32])]
    """The image's digest: `sha256:` and hexadecimal digits."""


@shape
class AlgorithmMeta(TypedDict):
    """An algorithm that is no asset: `rawcode` or `url`, one of them."""

    rawcode: NotRequired[Annotated[str, Field(max_length=MAX_CODE_CHARACTERS)]]
    """The program itself."""
    url: NotRequired[str | dict[str, Any]]
    """Where the program is to be had: an address, or a file object."""
    container: Container | str
    """Or its JSON text."""


@shape
class AlgorithmChoice(TypedDict):
    """An asset (`documentId` and `serviceId`) or an algorithm that is none (`meta`)."""

    documentId: NotRequired[Did]
    """The algorithm's DID."""
    serviceId: NotRequired[ServiceId]
    """Which of its services."""
    transferTxId: NotRequired[Transaction]
    """The order's transaction; left out where nothing is sold."""
    meta: NotRequired[AlgorithmMeta]
    userdata: NotRequired[Any]
    """Parameters that the algorithm's file asks for, at most 64 KiB of JSON."""
    algocustomdata: NotRequired[Any]
    """Parameters that the algorithm finds in `algoCustomData.json`, at most 64 KiB of JSON."""


class _Signed(TypedDict):
    nonce: Nonce
    """Greater than any that this wallet has used, at most a day ahead of the clock in
    nanoseconds."""
    signature: NotRequired[Signature]
    """Left out with a token."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, after which a typed signature (EIP-712) is void. Left out with a
    plain one."""


@shape
class StartRequest(_Signed):
    """A job to start. The text to sign is `consumerAddress` + the dataset's `documentId` +
    `nonce`."""

    consumerAddress: Address
    """The wallet whose job it will be."""
    environment: Annotated[str, Field(min_length=1, examples=["small"])]
    """The id of an environment."""
    dataset: DatasetChoice
    additionalDatasets: NotRequired[Annotated[list[DatasetChoice], Field(max_length=MAX_DATASETS)]]
    """Further datasets that the job reads."""
    algorithm: AlgorithmChoice
    output: NotRequired[dict[str, Any]]
    """Taken and not used: results are kept here."""
    encryptTo: NotRequired[PublicKey]
    """Encrypt results and logs to this public key (secp256k1, compressed or not); there are no
    live logs then."""


@shape
class Quoted(TypedDict):
    env: Annotated[str, Field(min_length=1, examples=["small"])]
    """The id of an environment."""
    validUntil: WholeNumber
    """Until when the job may run, in seconds since the epoch."""


@shape
class InitializeComputeRequest(TypedDict):
    """A job to come."""

    datasets: Annotated[list[DatasetChoice], Field(min_length=1, max_length=MAX_DATASETS)]
    """All of them, the main one first."""
    algorithm: AlgorithmChoice
    compute: Quoted
    consumerAddress: Address
    """The wallet that will order."""


@shape
class ProviderFee(TypedDict):
    """A fee as `startOrder` and `reuseOrder` of a datatoken take it."""

    providerFeeAddress: Address
    providerFeeToken: Address
    providerFeeAmount: Annotated[str, Field(pattern="^[0-9]+$")]
    """In the token's smallest unit (wei)."""
    providerData: Annotated[str, Field(pattern="^0x[0-9a-f]*$")]
    v: int
    r: Bytes32
    s: Bytes32
    validUntil: int
    """Seconds since the epoch."""


@shape
class ItemQuote(TypedDict):
    """What has to be ordered of one asset: a fee alone asks for a new order, a `validOrder` alone
    for none, both for that order to be renewed."""

    datatoken: NotRequired[str]
    """The token to order with."""
    providerFee: NotRequired[ProviderFee]
    validOrder: NotRequired[str]
    """An order's transaction; zeros where nothing is sold."""


@shape
class ComputeQuote(TypedDict):
    datasets: list[ItemQuote]
    algorithm: NotRequired[ItemQuote]
    """Left out for one that is no asset."""


@shape
class JobQuery(TypedDict):
    consumerAddress: NotRequired[Address]
    """The wallet."""
    jobId: NotRequired[JobId]
    """Only this job."""
    documentId: NotRequired[Did]
    """Only jobs on this dataset."""
    agreementId: NotRequired[Annotated[str, Field(min_length=1)]]
    """Only jobs of this order."""


@shape
class StatusQuery(JobQuery):
    nonce: NotRequired[Nonce]
    """With a signature; it may be shown again until a greater one is used."""
    signature: NotRequired[Signature]
    """Over `consumerAddress` + `jobId` + `documentId` + `nonce`, each as sent."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, with a typed signature (EIP-712)."""


@shape
class WishQuery(TypedDict):
    consumerAddress: Address
    """The wallet whose job it is."""
    jobId: NotRequired[JobId]
    """The job."""
    documentId: NotRequired[Did]
    """Jobs on this dataset."""
    agreementId: NotRequired[Annotated[str, Field(min_length=1)]]
    """Jobs of this order."""
    nonce: NotRequired[Nonce]
    """Greater than any used before. Left out, the one after the last is meant."""
    signature: NotRequired[Signature]
    """Over `consumerAddress` + `jobId` + `documentId` + `nonce`, each as sent. Left out with a
    token."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, with a typed signature (EIP-712)."""


@shape
class ResultQuery(_Signed):
    jobId: JobId
    """The job."""
    index: WholeNumber
    """Of the result, as the job lists it."""
    consumerAddress: Address
    """The wallet whose job it is."""


@shape
class LogQuery(_Signed):
    jobId: JobId
    """The job."""
    consumerAddress: Address
    """The wallet whose job it is."""
    stage: NotRequired[Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]]
    """One of several stages; left out, all of them one after the other."""
    offset: NotRequired[WholeNumber]
    """Bytes of the log to leave out; 0 where it is left out."""
    follow: NotRequired[Annotated[str, Field(pattern="^([Tt]rue|[Ff]alse|[01])?$")]]
    """`false` for what there is; else more is waited for until the job ends."""


@shape
class ContainerCheck(TypedDict):
    """An image description; what is missing is told."""

    image: NotRequired[str]
    tag: NotRequired[str]
    entrypoint: NotRequired[str]
    checksum: NotRequired[str]
    """`sha256:` and hexadecimal digits."""
