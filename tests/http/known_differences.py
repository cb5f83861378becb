"""In what our answers differ from the recorded ones, all of it, each with its reason.

``docs/decisions/0009-where-answers-differ.md`` has the same at more leisure. A difference
that is not here, or one here that is not there any more, fails ``test_recorded_shapes``.
"""

from __future__ import annotations

from dataclasses import dataclass

STARTED = frozenset({"start", "start_again"})
FINISHED = frozenset({"status_finished", "status_again"})
ENDED = frozenset({"stop", "delete"})
JOBS = STARTED | FINISHED | ENDED | {"status_running"}
QUOTES = frozenset({"initialize", "initialize_again", "initialize_access"})
FILES = frozenset({"result", "log", "download"})
SEALED = frozenset({"encrypt_files", "encrypt_document"})
ROOTS = frozenset({"root", "aquarius_base"})
INDEX = frozenset({"ddo", "ddo_missing", "validate"})
OTHER_JSON = frozenset({"environments", "fileinfo", "fileinfo_checksum", "nonce"})
EVERY = JOBS | QUOTES | FILES | SEALED | ROOTS | INDEX | OTHER_JSON | {"decrypt"}


@dataclass(frozen=True)
class Row:
    """One difference, as ``answer_shapes`` spells it, of these answers."""

    answers: frozenset[str]
    difference: str
    reason: str

    @property
    def field(self) -> str:
        """The last name of the path, or a header's name."""
        return self.difference.partition(": ")[0].split(".")[-1].removeprefix("header ")

    @property
    def path(self) -> str:
        return self.difference.partition(": ")[0]


def rows(answers: frozenset[str] | set[str], reason: str, *found: str) -> list[Row]:
    return [Row(frozenset(answers), difference, reason) for difference in found]


def _of_a_quote(field: str) -> list[str]:
    items = ("algorithm", "datasets[]")
    return [f"{item}.providerFee.providerData.{field}" for item in items]


TABLE: list[Row] = [
    *rows(
        ROOTS,
        "the same address under its older name, for clients that look for that one",
        "providerAddress: absent -> 0x and 40 digits",
    ),
    *rows(
        {"root"},
        "logs while jobs run, under the name that the clients of Ocean Node look for",
        "serviceEndpoints.computeStreamableLogs: absent -> list",
    ),
    *rows(
        {"root"},
        "signed statements of what ran are to be had",
        "serviceEndpoints.computeReceipt: absent -> list",
    ),
    *rows(
        {"root"},
        "results may wait for a data owner, who has to find the calls",
        "serviceEndpoints.computeHeld: absent -> list",
        "serviceEndpoints.computeHeldResult: absent -> list",
        "serviceEndpoints.computeRelease: absent -> list",
    ),
    *rows(
        {"root"},
        "samples of datasets are to be had",
        "serviceEndpoints.computeSample: absent -> list",
    ),
    *rows({"root"}, "names this software", "software: 'Provider' -> 'ocean-compute'"),
    *rows(
        {"aquarius_base"},
        "the cache is a part of this service, and so is its root; clients read the code 200",
        "software: 'Aquarius' -> 'ocean-compute'",
        "plugin: text -> absent",
        "chainIds: absent -> list",
        "providerAddresses: absent -> dict",
        "serviceEndpoints: absent -> dict",
    ),
    *rows({"ddo"}, "a note of the recorder, no part of the format", "_hash_ok: bool -> absent"),
    *rows(
        {"ddo"},
        "prices of datatokens in exchanges are not followed, so no token is named for one",
        "stats.price.tokenAddress: 0x and 40 digits -> absent",
        "stats.price.tokenSymbol: text -> absent",
    ),
    *rows(
        {"environments"},
        "always null; the chain is the key that the list is under",
        "8996[].chainId: null -> absent",
    ),
    *rows(
        {"environments"},
        "the names of the other generation of the API, beside cpuNumber and gpuNumber",
        "8996[].nCPU: absent -> int",
        "8996[].nGPU: absent -> int",
    ),
    *rows(
        {"environments"},
        "there is a queue, and how long it is matters to who chooses an environment",
        "8996[].queuedJobs: absent -> int",
        "8996[].maxQueueWait: absent -> int",
        "8996[].maxJobsPerConsumer: absent -> int",
    ),
    *rows(
        {"environments"},
        "what may leave matters to who chooses an environment",
        "8996[].egress: absent -> dict",
    ),
    *rows(
        {"environments"},
        "enough to try an algorithm under the same conditions before it is sent",
        "8996[].runtime: absent -> dict",
    ),
    *rows(
        {"initialize"},
        "a fee that is signed for one chain is worth nothing on another",
        *(f"{path}: absent -> int" for path in _of_a_quote("chainId")),
    ),
    *rows(
        {"initialize_access"},
        "a fee that is signed for one chain is worth nothing on another",
        "providerFee.providerData.chainId: absent -> int",
    ),
    *rows(
        JOBS,
        "what is computed on is known, so it is told",
        "[].algoDID: null -> text",
        "[].inputDID: null -> list",
    ),
    *rows(
        JOBS,
        "what the rules for results said; null where there are none, or not yet",
        "[].egress: absent -> null",
    ),
    *rows(
        JOBS,
        "in the documentation and the types of clients, so it is there",
        "[].documentId: absent -> text",
        "[].algorithmLogUrl: absent -> text",
        "[].resultsDid: absent -> text",
    ),
    *rows(
        JOBS - FINISHED,
        "in the documentation and the types of clients, so it is there",
        "[].resultsUrls: absent -> empty list",
    ),
    *rows(
        FINISHED,
        "in the documentation and the types of clients, so it is there",
        "[].resultsUrls: absent -> list",
    ),
    *rows(
        STARTED | {"status_running"},
        "null until the job has ended",
        "[].expireTimestamp: absent -> null",
        "[].terminationDetails: absent -> null",
    ),
    *rows(
        JOBS,
        "whose a failure is and what helps; null for a job that did not fail",
        "[].failure: absent -> null",
    ),
    *rows(
        FINISHED | ENDED,
        "when the results go",
        "[].expireTimestamp: absent -> float",
    ),
    *rows(
        FINISHED | ENDED,
        "how the algorithm ended: exit code, out of memory, reason",
        "[].terminationDetails: absent -> dict",
    ),
    *rows(
        STARTED | {"status_running", "delete"},
        "a list whatever happened, so that a client may loop over it",
        "[].results: null -> empty list",
    ),
    *rows(
        {"stop"},
        "what there was when it was stopped can be had, its log for one",
        "[].results: null -> list",
    ),
    *rows(
        FINISHED,
        "the text of the documentation",
        "[].statusText: 'Job finished' -> 'Job completed'",
    ),
    *rows(
        FINISHED,
        "who has downloaded a result can check it",
        "[].results[].sha256: absent -> text",
    ),
    *rows(
        ENDED,
        "stopping is done before it is answered",
        "[].dateFinished: null -> decimals",
    ),
    *rows(
        {"stop"},
        "a job that was stopped did not finish: number and text of the documentation",
        "[].status: 70 -> 7",
        "[].statusText: 'Job finished' -> 'Job stopped'",
    ),
    *rows(
        {"delete"},
        "a job that was deleted did not finish: number and text of the documentation",
        "[].status: 70 -> 8",
        "[].statusText: 'Job finished' -> 'Job deleted successfully'",
    ),
    *rows(
        EVERY,
        "to find a request in the log",
        "header x-request-id: absent -> present",
    ),
    *rows(
        EVERY,
        "connections are kept open, so the length is told beforehand",
        "header content-length: absent -> present",
    ),
    *rows(
        JOBS | QUOTES | OTHER_JSON,
        "JSON is UTF-8, and saying so harms nobody",
        "header content-type: application/json -> application/json; charset=utf-8",
    ),
    *rows(
        SEALED,
        "the text is ASCII, whatever it is called",
        "header content-type: text/plain -> text/plain; charset=utf-8",
    ),
    *rows(
        {"aquarius_base"},
        "the root document is made once, as bytes",
        "header content-type: application/json; charset=utf-8 -> application/json",
    ),
    *rows(
        INDEX | {"aquarius_base"},
        "pages in browsers may ask the index, as they may ask the rest",
        "header access-control-allow-origin: absent -> present",
    ),
    *rows(
        FILES | {"decrypt"},
        "content of strangers is never taken for anything but a file",
        "header x-content-type-options: absent -> present",
    ),
    *rows(
        FILES,
        "content of strangers is never taken for anything but a file",
        "header content-security-policy: absent -> present",
    ),
    *rows(
        FILES,
        "what one wallet may read is nothing for shared caches",
        "header cache-control: absent -> present",
    ),
    *rows(
        FILES,
        "pages in browsers can resume a download",
        "header access-control-expose-headers: Content-Disposition -> "
        "Content-Disposition, Content-Length, Content-Range, Accept-Ranges, ETag",
    ),
    *rows(
        FILES - {"download"},
        "results can be had in parts and checked",
        "header accept-ranges: absent -> present",
        "header etag: absent -> present",
    ),
]
