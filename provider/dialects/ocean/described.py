"""The Ocean Provider API as its document describes it."""

from __future__ import annotations

from typing import Final

from provider.dialects.ocean import (
    asset_shapes,
    job_shapes,
    receipt_shapes,
    review_described,
    shapes,
)
from provider.dialects.ocean.responses import ROUTES
from provider.openapi import files
from provider.openapi.operations import (
    JSON,
    OCTETS,
    TEXT,
    Answer,
    Api,
    Body,
    Operation,
    Security,
)

PROVIDER: Final = "provider"
JOBS: Final = "jobs"
TOKENS: Final = "tokens"
ASSETS: Final = "assets"

OPEN: Final[Security] = ()
SIGNED: Final[Security] = ({"walletSignature": []}, {"authToken": []})
MAY_SIGN: Final[Security] = (*SIGNED, {})
BY_WALLET: Final[Security] = ({"walletSignature": []},)

_WALLET: Final = shapes.WALLET
_DID: Final = "did:op:" + "d1" * 32
_JOB: Final = "0f4c1e0c8a6d4f5a9d3b7a1f2e6c8b90"
_NONCE: Final = "1732780800000000000"
_SIGNATURE: Final = "0x" + "5a" * 64 + "1b"
_UNTIL: Final = 4102444800
_CONTAINER: Final = {
    "image": "python",
    "tag": "3.11-slim-bookworm",
    "entrypoint": "python3 $ALGO",
    "checksum": "sha256:" + "0a" * 32,
}
_DATASET: Final = {"documentId": _DID, "serviceId": "compute"}
_ALGORITHM: Final = {"meta": {"rawcode": "print(42)", "container": _CONTAINER}}
_START: Final = {
    "consumerAddress": _WALLET,
    "nonce": _NONCE,
    "signature": _SIGNATURE,
    "environment": "small",
    "dataset": _DATASET,
    "algorithm": _ALGORITHM,
}
_ENVIRONMENT: Final = {
    "id": "small",
    "desc": "Two cores, half a GiB",
    "nCPU": 2,
    "cpuNumber": 2,
    "cpuType": "",
    "nGPU": 0,
    "gpuNumber": 0,
    "gpuType": "",
    "ramGB": 0.5,
    "diskGB": 1,
    "priceMin": 0,
    "feeToken": "0x" + "0" * 40,
    "free": True,
    "currentJobs": 1,
    "queuedJobs": 0,
    "maxJobs": 3,
    "maxJobsPerConsumer": 3,
    "maxQueueWait": 86400,
    "maxJobDuration": 3600,
    "storageExpiry": 604800,
    "runtime": {
        "user": "65534:65534",
        "pids": 256,
        "tmpMB": 64,
        "maxOutputFiles": 10000,
        "maxLogMB": 16,
        "writableRoot": False,
        "network": "none",
        "networkStages": ["*"],
        "stopGrace": 3.0,
        "images": {"allow": ["python"], "pull": "missing", "build": False},
        "filterImage": "",
    },
    "consumerAddress": _WALLET,
    "egress": {
        "maxBytes": 10485760,
        "maxFiles": None,
        "maxRows": None,
        "maxLogBytes": 65536,
        "names": [],
        "types": ["text/*", "application/json", "image/png"],
        "noInputCopies": True,
        "filterImage": "",
        "hold": "never",
        "holdFor": 604800,
    },
    "lastSeen": "1732780800.000000",
}
_JOB_OBJECT: Final = {
    "owner": _WALLET.lower(),
    "documentId": _DID,
    "jobId": _JOB,
    "agreementId": "",
    "dateCreated": "1732780800.000000",
    "dateFinished": None,
    "status": 40,
    "statusText": "Running algorithm",
    "environment": "small",
    "algoDID": "",
    "inputDID": [_DID],
    "results": [],
    "algorithmLogUrl": "",
    "resultsUrls": [],
    "resultsDid": "",
    "stopreq": 0,
    "removed": 0,
    "terminationDetails": None,
    "failure": None,
    "expireTimestamp": None,
    "egress": None,
}


def _refused(text: str) -> Answer:
    return Answer(text, {JSON: shapes.Refusal})


REFUSALS: Final = {
    400: Answer(
        "Something of the request is missing or wrong, or a rule says no: fields are told by"
        " name, rules by a sentence or by resource and code.",
        {JSON: shapes.FieldErrors | shapes.Refusal},
    ),
    403: _refused("This wallet may not."),
    404: _refused("There is no such thing, or it is not this wallet's."),
    405: Answer(
        "The path takes another method.", {JSON: shapes.Refusal}, {"Allow": "The methods."}
    ),
    408: _refused("The body did not arrive in time."),
    409: _refused(
        "An order is in use for another job; a log is no longer complete, or encrypted; or a review"
        " is over."
    ),
    413: _refused("The request is too large."),
    416: _refused("The log is not that long."),
    429: _refused("Too much at the moment: a queue is full, or too many requests came."),
    500: Answer("A fault of this service.", {JSON: files.Fault}),
    503: _refused("A part of the provider's own does not answer, or it is about to stop."),
}
ALWAYS: Final = (400, 408, 413, 429, 500, 503)


def _jobs(text: str) -> Answer:
    return Answer(text, {JSON: list[job_shapes.Job]}, example=[_JOB_OBJECT])


def _call(
    name: str,
    summary: str,
    description: str,
    answers: dict[int, Answer],
    *,
    tag: str,
    query: object = None,
    body: Body | None = None,
    refusals: tuple[int, ...] = (400,),
    headers: dict[str, str] | None = None,
    security: Security = OPEN,
) -> Operation:
    method, path = ROUTES[name]
    return Operation(
        method,
        path,
        name,
        summary,
        description,
        answers,
        tag=tag,
        query=query,
        body=body,
        refusals=refusals,
        headers=headers or {},
        security=security,
    )


def api(section: object = None) -> Api:
    """The API; it has no section."""
    return Api(
        tags={
            PROVIDER: "The provider itself, and what it offers.",
            JOBS: "Jobs of the Ocean Provider API.",
            TOKENS: "Tokens instead of signatures.",
            review_described.REVIEWS: review_described.ABOUT,
            ASSETS: "Files and documents of assets.",
        },
        operations=[
            *_provider(),
            *_jobs_calls(),
            *review_described.operations(),
            *_tokens(),
            *_assets(),
        ],
        refusals=REFUSALS,
        always=ALWAYS,
    )


def _provider() -> list[Operation]:
    return [
        Operation(
            "GET",
            "/",
            "root",
            "What this provider is",
            "Its wallet, the chains that it sells on, and the path of each call.",
            {200: Answer("The provider.", {JSON: shapes.Root})},
            refusals=(),
            security=OPEN,
        ),
        _call(
            "computeEnvironments",
            "What may be run where",
            "A list, or lists by chain id where the provider sells on chains.",
            {
                200: Answer(
                    "The environments.",
                    {JSON: list[shapes.Environment] | dict[str, list[shapes.Environment]]},
                    example=[_ENVIRONMENT],
                )
            },
            tag=PROVIDER,
            query=shapes.EnvironmentsQuery,
        ),
        _call(
            "nonce",
            "The last nonce of a wallet",
            "Asking changes nothing. HEAD is not taken here.",
            {200: Answer("The nonce.", {JSON: shapes.LastNonce}, example={"nonce": _NONCE})},
            tag=PROVIDER,
            query=shapes.NonceQuery,
            refusals=(400, 405),
        ),
        _call(
            "validateContainer",
            "Check an image description",
            "Whether there is such an image only a start tells.",
            {200: Answer("What was sent.", {JSON: dict[str, object]}, example=_CONTAINER)},
            tag=PROVIDER,
            body=Body({JSON: shapes.ContainerCheck}, {"python": _CONTAINER}),
        ),
    ]


def _jobs_calls() -> list[Operation]:
    quote = {
        "datasets": [_DATASET],
        "algorithm": _ALGORITHM,
        "compute": {"env": "small", "validUntil": _UNTIL},
        "consumerAddress": _WALLET,
    }
    return [
        _call(
            "initializeCompute",
            "What a job needs before it can be started",
            "Refuses what a start would refuse, and tells what has to be ordered. A wallet that"
            " may not use an environment or an asset is told so here.",
            {200: Answer("What to order.", {JSON: shapes.ComputeQuote})},
            tag=JOBS,
            body=Body({JSON: shapes.InitializeComputeRequest}, {"quote": quote}),
            refusals=(400, 403, 404),
        ),
        _call(
            "computeStart",
            "Start a job",
            "Checks the request, the wallet, the assets and the orders, then queues the job. What"
            " is answered is on disk. The text to sign is `consumerAddress` + the dataset's"
            " `documentId` + `nonce`. The same order and nonce start one job only.",
            {200: _jobs("A list of the one job.")},
            tag=JOBS,
            body=Body({JSON: shapes.StartRequest}, {"start": _START}),
            refusals=(400, 403, 404, 409),
            security=SIGNED,
        ),
        _call(
            "computeStatus",
            "How jobs are",
            "One job by its id, or those of a wallet. Its owner, who signs, is told everything;"
            " others who know the id, or the wallet, are told number, text and dates. An operator"
            " may demand the signature.",
            {200: _jobs("The jobs, newest first.")},
            tag=JOBS,
            query=shapes.StatusQuery,
            refusals=(400, 403, 404),
            security=MAY_SIGN,
        ),
        _call(
            "computeStop",
            "Stop jobs",
            "One job, or all unfinished ones that the parameters describe. Results that are there"
            " are kept.",
            {200: _jobs("The jobs as they are now.")},
            tag=JOBS,
            query=shapes.WishQuery,
            refusals=(400, 403, 404),
            security=SIGNED,
        ),
        _call(
            "computeDelete",
            "Delete jobs with their results",
            "One job, or all on one dataset: `jobId` or `documentId` has to be there.",
            {200: _jobs("The jobs as they are now.")},
            tag=JOBS,
            query=shapes.WishQuery,
            refusals=(400, 403, 404),
            security=SIGNED,
        ),
        _call(
            "computeStreamableLogs",
            "What a job prints",
            "Live, until the job ends; or what there is, with `follow=false`. An answer that ends"
            " well is complete, one that cannot be completed is cut off: go on with the `offset`"
            " after the bytes that came. The text to sign is `consumerAddress` + `jobId` +"
            " `nonce`.",
            {
                200: Answer(
                    "The log from `offset` on.",
                    {OCTETS: files.AnyBytes},
                    {"X-Log-Offset": "Which byte of the log is the first one."},
                )
            },
            tag=JOBS,
            query=shapes.LogQuery,
            refusals=(400, 403, 404, 409, 416),
            security=SIGNED,
        ),
        _call(
            "computeResult",
            "One result of a job",
            "The file with its name, type and SHA-256 (`ETag`); parts of it by `Range`. The text"
            " to sign is `consumerAddress` + `jobId` + `index` + `nonce`.",
            files.STORED,
            tag=JOBS,
            query=shapes.ResultQuery,
            refusals=(400, 403, 404),
            headers=files.CONDITIONS,
            security=SIGNED,
        ),
        _call(
            "computeReceipt",
            "A signed statement of what ran",
            "Of a job that is over, deleted or not: an in-toto statement in a DSSE envelope, signed"
            " by the provider's key (EIP-191 over the pre-authentication encoding). The bytes are"
            " the same each time; keep them as they are. An operator may demand a signature over"
            " `consumerAddress` + `jobId` + `nonce`, by the job's owner or a reviewer of its"
            " results.",
            {
                200: Answer(
                    "The receipt.",
                    {JSON: receipt_shapes.Receipt},
                    {"ETag": files.FILE_HEADERS["ETag"]},
                ),
                304: files.UNCHANGED,
                412: files.ANOTHER,
            },
            tag=JOBS,
            query=receipt_shapes.ReceiptQuery,
            refusals=(400, 403, 404),
            headers=files.MATCHES,
            security=MAY_SIGN,
        ),
    ]


def _tokens() -> list[Operation]:
    return [
        _call(
            "create_auth_token",
            "A token instead of signatures",
            "Good for the wallet's calls until it expires or is deleted. The text to sign is"
            " `address` + `nonce`.",
            {200: Answer("The token.", {JSON: asset_shapes.Token})},
            tag=TOKENS,
            query=asset_shapes.CreateTokenQuery,
            security=BY_WALLET,
        ),
        _call(
            "delete_auth_token",
            "End a token",
            "It is refused from now on. The text to sign is `address` + `nonce`.",
            {200: Answer("It is ended.", {JSON: asset_shapes.Success})},
            tag=TOKENS,
            query=asset_shapes.DeleteTokenQuery,
            security=BY_WALLET,
        ),
    ]


def _assets() -> list[Operation]:
    decrypt = {
        "decrypterAddress": _WALLET,
        "chainId": 8996,
        "dataNftAddress": _WALLET,
        "transactionId": "0x" + "7a" * 32,
        "nonce": _NONCE,
        "signature": _SIGNATURE,
    }
    return [
        _call(
            "fileinfo",
            "What an asset's files are like",
            "Size, type and name, as their origins tell; of a service, or of a file object that"
            " is sent. Nothing of the address of a file is told.",
            {200: Answer("One object a file.", {JSON: list[asset_shapes.FileInfo]})},
            tag=ASSETS,
            body=Body(
                {JSON: asset_shapes.FileInfoRequest},
                {
                    "service": {"did": _DID, "serviceId": "access"},
                    "file object": {"type": "url", "url": "https://example.org/a.csv"},
                },
            ),
            refusals=(400, 403, 404),
        ),
        _call(
            "initialize",
            "What a download needs",
            "Tells what has to be ordered, or which order is still good.",
            {200: Answer("What to order.", {JSON: asset_shapes.AccessQuote})},
            tag=ASSETS,
            query=asset_shapes.InitializeQuery,
            refusals=(400, 403, 404),
        ),
        _call(
            "download",
            "A file of an asset",
            "Passed on from its origin as it comes; parts of it by `Range` where the origin gives"
            " parts. The text to sign is `documentId` + `nonce`.",
            files.PASSED_ON,
            tag=ASSETS,
            query=asset_shapes.DownloadQuery,
            refusals=(400, 403, 404),
            headers=files.RANGE,
            security=SIGNED,
        ),
        _call(
            "computeSample",
            "A sample of a dataset, to try algorithms on",
            "What the data owner shows of it to everybody. Without `fileIndex` a list, and what"
            " binds jobs on the data itself; with it that file, parts of it by `Range` where the"
            " origin gives parts.",
            {
                200: Answer(
                    "The list, or the file.",
                    {JSON: asset_shapes.SampleList, OCTETS: files.AnyBytes},
                    files.FILE_HEADERS,
                ),
                206: files.PART,
                416: files.BEYOND,
            },
            tag=ASSETS,
            query=asset_shapes.SampleQuery,
            refusals=(400, 403, 404),
            headers=files.RANGE,
        ),
        _call(
            "encrypt",
            "Seal bytes to the provider's key",
            "For publishing: nobody else can read them. `Content-Type` has to be exactly"
            " `application/octet-stream`.",
            {201: Answer("The sealed bytes, `0x` and hexadecimal digits.", {TEXT: str})},
            tag=ASSETS,
            query=asset_shapes.EncryptQuery,
            body=Body({OCTETS: files.AnyBytes}, required=False),
        ),
        _call(
            "decrypt",
            "Open a published document",
            "Of an asset on a chain that this provider follows, for wallets that may. The document"
            " is held to the hash that was published with it.",
            {201: Answer("The document, as it was published.", {TEXT: str})},
            tag=ASSETS,
            body=Body({JSON: asset_shapes.DecryptRequest}, {"by transaction": decrypt}),
            refusals=(400, 403, 404),
            security=SIGNED,
        ),
    ]
