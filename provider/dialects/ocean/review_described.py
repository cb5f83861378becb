"""The calls of reviewers as the API's document describes them."""

from __future__ import annotations

from typing import Final, Literal, NotRequired

from typing_extensions import TypedDict

from provider.dialects.ocean.job_shapes import Result
from provider.dialects.ocean.responses import ROUTES
from provider.dialects.ocean.shapes import Address, JobId, Nonce, Signature, WholeNumber
from provider.openapi import files
from provider.openapi.operations import JSON, Answer, Body, Operation, Security, shape

REVIEWS: Final = "reviews"
ABOUT: Final = "Results that wait until a data owner releases them."

_SIGNED: Final[Security] = ({"walletSignature": []}, {"authToken": []})
_BY_WALLET: Final[Security] = ({"walletSignature": []},)
_WALLET: Final = "0x90F8bf6A479f320ead074411a4B0e7944Ea8c9C1"
_JOB: Final = "0f4c1e0c8a6d4f5a9d3b7a1f2e6c8b90"


class _ByReviewer(TypedDict):
    consumerAddress: Address
    """The reviewer's wallet."""
    nonce: Nonce
    """Greater than any that this wallet has used, at most a day ahead of the clock in
    nanoseconds."""
    signature: NotRequired[Signature]
    """Left out with a token."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, after which a typed signature (EIP-712) is void. Left out with a
    plain one."""


@shape
class HeldQuery(_ByReviewer):
    jobId: NotRequired[JobId]
    """Only this job, with all its files."""


@shape
class HeldResultQuery(_ByReviewer):
    jobId: JobId
    """The job."""
    index: WholeNumber
    """Of the file, as the job lists it."""


@shape
class ReleaseRequest(TypedDict):
    """A decision. The text to sign is `consumerAddress/jobId/decision/nonce/computeRelease`."""

    consumerAddress: Address
    """The reviewer's wallet."""
    jobId: JobId
    """The job."""
    decision: Literal["release", "refuse"]
    nonce: Nonce
    """Greater than any that this wallet has used."""
    signature: Signature
    """A token does not do."""
    expiry: NotRequired[WholeNumber]
    """Seconds since the epoch, with a typed signature (EIP-712)."""


@shape
class HeldSource(TypedDict):
    """Somebody's rules by which the job is held."""

    source: str
    """`environment`, or a dataset's DID."""
    rules: list[str]
    """Those that fired, with their limits; none where everything is held."""
    decision: Literal["", "released", "refused"]
    """Empty until there is one."""
    decidedBy: str
    """The wallet that decided."""
    dateDecided: str | None


@shape
class RunImage(TypedDict):
    """What ran in a stage."""

    image: str
    """As it was asked for."""
    imageId: str
    """What that was on the engine."""


@shape
class HeldJob(TypedDict):
    """A job whose results are held. Times are seconds since the epoch as text."""

    jobId: str
    owner: str
    """The consumer."""
    environment: str
    status: int
    """51 while it is held."""
    statusText: str
    inputDID: list[str]
    """All datasets."""
    algoDID: str
    """Empty for an algorithm that is no asset."""
    images: list[RunImage]
    """One a stage."""
    exitCode: int | None
    """How the algorithm ended."""
    dateCreated: str
    dateHeld: str | None
    heldUntil: str | None
    """When it is refused if it was not released by all."""
    sources: list[HeldSource]
    """Those that ask this wallet."""
    undecided: int
    """How many sources, of all, have to be decided yet."""
    fileCount: int
    files: list[Result]
    """In a list of jobs the first 100 of each."""


def operations() -> list[Operation]:
    """The calls, to be described with those of the API."""
    decision = {
        "consumerAddress": _WALLET,
        "jobId": _JOB,
        "decision": "release",
        "nonce": "1732780800000000000",
        "signature": "0x" + "5a" * 64 + "1b",
    }
    return [
        Operation(
            *ROUTES["computeHeld"],
            "computeHeld",
            "What is held for a reviewer",
            "The 100 newest held jobs that ask this wallet, or one of them. The nonce may be"
            " shown again until a greater one is used. The text to sign is"
            " `consumerAddress/jobId/nonce/computeHeld`, with nothing between the slashes where"
            " no job is named.",
            {200: Answer("The jobs, newest first.", {JSON: list[HeldJob]})},
            tag=REVIEWS,
            query=HeldQuery,
            refusals=(400, 404),
            security=_SIGNED,
        ),
        Operation(
            *ROUTES["computeHeldResult"],
            "computeHeldResult",
            "One held file",
            "As `computeResult` gives those that are out. Only for reviewers of this job. The text"
            " to sign is `consumerAddress/jobId/index/nonce/computeHeldResult`.",
            files.STORED,
            tag=REVIEWS,
            query=HeldResultQuery,
            refusals=(400, 404),
            headers=files.CONDITIONS,
            security=_SIGNED,
        ),
        Operation(
            *ROUTES["computeRelease"],
            "computeRelease",
            "Release or refuse what is held",
            "For all sources that ask this wallet. Results leave once every source has released"
            " them; one refusal ends the job with status 61. It cannot be taken back.",
            {200: Answer("The job as it is now.", {JSON: HeldJob})},
            tag=REVIEWS,
            body=Body({JSON: ReleaseRequest}, {"release": decision}),
            refusals=(400, 404, 409),
            security=_BY_WALLET,
        ),
    ]
