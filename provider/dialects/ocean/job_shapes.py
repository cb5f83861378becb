"""The job object and what it is made of, as types: see :mod:`provider.dialects.ocean.shapes`."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from compute.failures import Retry, Who
from compute.fairness import Reason
from compute.results import ResultType
from provider.dialects.ocean.egress_shapes import Egress
from provider.dialects.ocean.key_shapes import PublicKey
from provider.dialects.ocean.shapes import Checksum
from provider.openapi.operations import shape


@shape
class Result(TypedDict):
    """One file of a job."""

    filename: str
    filesize: int
    """Bytes."""
    type: ResultType
    index: int
    """By which `computeResult` gives it out; it never changes."""
    sha256: Checksum
    encrypted: NotRequired[Literal[True]]
    """There when the file is sealed to `encryptTo`; size and SHA-256 are of the sealed bytes."""


@shape
class TerminationDetails(TypedDict):
    """How the algorithm ended."""

    exitCode: int | None
    OOMKilled: bool
    """True when it wanted more memory than the environment gives."""
    reason: str
    """A word for programs."""
    detail: str
    """A sentence for people."""


@shape
class Failure(TypedDict):
    """Why a job failed, and who can do something about it."""

    reason: str
    """The word of terminationDetails."""
    cause: str
    """What that means."""
    evidence: str
    """What was seen of it with this job."""
    whoCanFix: list[Who]
    """The likeliest first."""
    retry: Retry
    """What comes of starting the same job again."""
    advice: str
    """What to do."""
    tries: int
    """How often the provider tried."""


@shape
class Stage(TypedDict):
    """One of several stages of a job."""

    name: str
    status: int | None
    """Only of the present one."""
    exitCode: int | None
    OOMKilled: bool
    dateStarted: str | None
    dateFinished: str | None


@shape
class QueueShortage(TypedDict):
    """What the machine lacks for a job."""

    resource: str
    """cpu, ram (GiB), disk (GiB) or gpu."""
    needed: float
    free: float


@shape
class Job(TypedDict):
    """A job. Times are seconds since the epoch as text. To others than its owner only owner, id,
    status and dates are told; the rest is empty."""

    owner: str
    """The wallet, or another API and the caller's name there."""
    documentId: str
    """The main dataset."""
    jobId: str
    """By which all calls about it name it."""
    agreementId: str
    """The order's transaction."""
    dateCreated: str
    """When it was accepted."""
    dateFinished: str | None
    """There exactly when the job is over."""
    status: int
    """1 waiting, 10 to 60 at work, 70 completed; 2, 7, 8, 11, 21, 22, 31, 32, 41, 42 and 61 are
    other ends."""
    statusText: str
    """The same in words."""
    environment: str
    """The environment's id."""
    algoDID: str
    """Empty for an algorithm that is no asset."""
    inputDID: list[str]
    """All datasets."""
    results: list[Result]
    """Empty until there are some."""
    algorithmLogUrl: str
    """Where the log is, once there is one; empty before."""
    resultsUrls: list[str]
    """Addresses of results, which still want a nonce and a signature."""
    resultsDid: str
    """Always empty."""
    stopreq: int
    """1 when told to stop, 2 when its time was over."""
    removed: int
    """1 when deleted."""
    terminationDetails: TerminationDetails | None
    failure: Failure | None
    """Null unless it failed."""
    expireTimestamp: float | None
    """When its results are removed, in seconds since the epoch."""
    egress: Egress | None
    """Null where there are no rules, or before they were asked."""
    encryptTo: NotRequired[PublicKey]
    """The public key that its results and logs are encrypted to, where it was started so."""
    stages: NotRequired[list[Stage]]
    """Of a job that has several."""
    queuePosition: NotRequired[int | None]
    """Only while it waits, as all that follows; 1 is next."""
    queueReason: NotRequired[Reason]
    """What it waits for."""
    queueDetail: NotRequired[str]
    """The same for people."""
    queueShort: NotRequired[list[QueueShortage]]
    """What the machine lacks."""
    queueDelayedUntil: NotRequired[str | None]
    """Until when it was put off."""
    queueWaitEnds: NotRequired[str | None]
    """When it expires if it has not started."""
    queuePlaceFreesBy: NotRequired[str | None]
    """When a place is free at the latest."""
