"""What goes back over the wire: jobs, environments, the root document. Pure.

A job object carries what either generation of clients reads. Texts of times are seconds
since the epoch, as old clients parse them.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode
from weakref import ref

from compute.egress.verdict import Verdict
from compute.environments import Environment
from compute.failures import Reason, failure
from compute.fairness import Waiting
from compute.models import Job, Load, Outline, ResultFile
from compute.status import Goal, Phase
from compute.store.recent import Recent
from provider import __version__
from provider.auth.signatures import to_checksum
from provider.chain.fees import FeeQuote
from provider.chain.networks import ChainSettings
from provider.dialects.ocean import failing, queueing
from provider.dialects.ocean.runtime import runtime
from provider.jobs import Quote
from provider.payments import ItemQuote

ROUTES: Mapping[str, tuple[str, str]] = {
    "nonce": ("GET", "/api/services/nonce"),
    "create_auth_token": ("GET", "/api/services/createAuthToken"),
    "delete_auth_token": ("DELETE", "/api/services/deleteAuthToken"),
    "encrypt": ("POST", "/api/services/encrypt"),
    "decrypt": ("POST", "/api/services/decrypt"),
    "fileinfo": ("POST", "/api/services/fileinfo"),
    "initialize": ("GET", "/api/services/initialize"),
    "initializeCompute": ("POST", "/api/services/initializeCompute"),
    "download": ("GET", "/api/services/download"),
    "computeSample": ("GET", "/api/services/computeSample"),
    "computeStart": ("POST", "/api/services/compute"),
    "computeStatus": ("GET", "/api/services/compute"),
    "computeStop": ("PUT", "/api/services/compute"),
    "computeDelete": ("DELETE", "/api/services/compute"),
    "computeResult": ("GET", "/api/services/computeResult"),
    "computeReceipt": ("GET", "/api/services/computeReceipt"),
    "computeStreamableLogs": ("GET", "/api/services/computeStreamableLogs"),
    "computeHeld": ("GET", "/api/services/computeHeld"),
    "computeHeldResult": ("GET", "/api/services/computeHeldResult"),
    "computeRelease": ("POST", "/api/services/computeRelease"),
    "computeEnvironments": ("GET", "/api/services/computeEnvironments"),
    "validateContainer": ("POST", "/api/services/validateContainer"),
}
"""``serviceEndpoints``: clients look each path up by these names on every call."""

NO_ORDER = "0x" + "0" * 64
"""The transaction named where none is needed."""

NO_TOKEN = "0x" + "0" * 40

_STOPPED_BY_USER, _TIMED_OUT = 1, 2
_OUT_OF_TIME = frozenset({Reason.TIME_LIMIT, Reason.PAID_TIME_OVER})
_REMEMBERED = 1024
_REMEMBERED_BYTES = 16 << 20
_NOBODY: Mapping[str, Waiting] = MappingProxyType({})


def dumps(value: Any) -> str:
    """Compact JSON with a final newline."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"


def root(address: str, chain_ids: Sequence[int]) -> dict[str, Any]:
    """``GET /``. Without chains the address stands alone: ocean.py, when it finds a map by
    chain, insists on its own chain being in there."""
    document: dict[str, Any] = {
        "software": "ocean-compute",
        "version": __version__,
        "chainIds": list(chain_ids),
        "providerAddress": address,
        "serviceEndpoints": {name: list(route) for name, route in ROUTES.items()},
    }
    if chain_ids:
        document["providerAddresses"] = {str(chain): address for chain in chain_ids}
    return document


def environment(
    item: Environment,
    load: Load,
    consumer_address: str,
    chain: ChainSettings | None,
    now: float,
) -> dict[str, Any]:
    """One environment under the field names of both generations, with its price on a chain.
    Numbers are numbers."""
    price = item.prices.get(chain.chain_id) if chain is not None else None
    fee_token = price.token if price else chain.fee_token if chain else ""
    cpus, gpus = _plain(item.cpu), item.gpu.count
    return {
        "id": item.id,
        "desc": item.description,
        "nCPU": cpus,
        "cpuNumber": cpus,
        "cpuType": item.cpuType,
        "nGPU": gpus,
        "gpuNumber": gpus,
        "gpuType": item.gpu.type,
        "ramGB": _plain(item.ramGB),
        "diskGB": _plain(item.diskGB),
        "priceMin": _plain(price.perMinute) if price else 0,
        "feeToken": to_checksum(fee_token or NO_TOKEN),
        "free": not price or price.perMinute == 0,
        "currentJobs": load.active,
        "queuedJobs": load.queued,
        "maxJobs": item.maxJobs,
        "maxJobsPerConsumer": item.maxJobsPerConsumer or item.maxJobs,
        "maxQueueWait": item.maxQueueWait,
        "maxJobDuration": item.maxJobDuration,
        "storageExpiry": item.storageExpiry,
        "runtime": runtime(item),
        "consumerAddress": consumer_address,
        "egress": item.egress.shown,
        "lastSeen": _time(now),
    }


def environments(
    listed: Mapping[int, Sequence[dict[str, Any]]],
) -> dict[str, Sequence[dict[str, Any]]]:
    """Environments by chain id, as clients of the API look them up."""
    return {str(chain_id): found for chain_id, found in listed.items()}


def job(item: Job, base_url: str, waiting: Waiting | None = None) -> dict[str, Any]:
    """The whole job object; ``waiting`` is what a queued one waits for, if that is known."""
    end = item.termination
    document = _outline(item)
    document |= {
        "documentId": item.spec.datasets[0].did if item.spec.datasets else "",
        "agreementId": item.spec.agreement_id,
        "environment": item.environment,
        "algoDID": item.spec.algorithm.did,
        "inputDID": [each.did for each in item.spec.datasets],
        "results": [_result(each, item.spec.encrypt_to) for each in item.results],
        "algorithmLogUrl": next(iter(_urls(item, base_url, "algorithmLog")), ""),
        "resultsUrls": _urls(item, base_url, "output"),
        "stopreq": _stopreq(item),
        "removed": int(item.phase is Phase.DELETED),
        "expireTimestamp": item.expires_at,
        "egress": _egress(item.verdict),
    }
    if end is not None:
        document["terminationDetails"] = {
            "exitCode": end.exit_code,
            "OOMKilled": end.oom_killed,
            "reason": end.reason,
            "detail": end.detail,
        }
    document["failure"] = failing.fields(failure(item))
    if item.spec.encrypt_to:
        document["encryptTo"] = item.spec.encrypt_to
    if len(item.spec.stages) > 1:
        document["stages"] = list(_stages(item))
    if waiting is not None:
        document |= queueing.fields(waiting)
    return document


def _egress(verdict: Verdict | None) -> dict[str, Any] | None:
    """What the rules said of a job's outputs, None where there are none, or not yet."""
    if verdict is None:
        return None
    return {
        "outcome": verdict.outcome,
        "rules": list(verdict.fired),
        "heldUntil": verdict.held_until,
    }


def _stages(item: Job) -> Iterator[dict[str, Any]]:
    """How each stage of a job with several is or went; only the present one has a status."""
    runs = {run.stage: run for run in item.runs}
    for number, stage in enumerate(item.spec.stages):
        run = runs.get(stage.name)
        present = number == item.stage and run is None
        yield {
            "name": stage.name,
            "status": item.phase.number if present else None,
            "exitCode": run.exit_code if run else None,
            "OOMKilled": run.oom_killed if run else False,
            "dateStarted": _moment(run.started_at if run else item.started_at if present else None),
            "dateFinished": _moment(run.ended_at if run else None),
        }


def _moment(at: float | None) -> str | None:
    return None if at is None else _time(at)


def _outline(item: Job | Outline) -> dict[str, Any]:
    """How a job is, for anyone: ids, number, text and dates; the other fields are empty."""
    return {
        "owner": item.owner,
        "documentId": "",
        "jobId": item.id,
        "agreementId": "",
        "dateCreated": _time(item.created_at),
        "dateFinished": None if item.finished_at is None else _time(item.finished_at),
        "status": item.phase.number,
        "statusText": item.phase.text,
        "environment": "",
        "algoDID": "",
        "inputDID": [],
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


class Renderer:
    """Job objects as JSON text. Remembers the last text of each job: clients poll, and a
    job changes far less often than it is asked for. The job itself, many times as large, is
    not kept by that. Our own address, which comes from the request, is put in afterwards, so
    that a job has one text whoever asks."""

    def __init__(self) -> None:
        self._texts: Recent[str, tuple[ref[Job], Waiting | None, str]] = Recent(
            _REMEMBERED, budget=_REMEMBERED_BYTES, weigh=lambda each: sys.getsizeof(each[2])
        )
        self._own_url = secrets.token_hex(16)

    def full(
        self, jobs: Sequence[Job], base_url: str, waiting: Mapping[str, Waiting] = _NOBODY
    ) -> str:
        texts = (self._full(item, waiting.get(item.id)) for item in jobs)
        text = f"[{','.join(texts)}]\n"
        return text.replace(self._own_url, _escaped(base_url))

    def outline(self, jobs: Sequence[Outline]) -> str:
        return dumps([_outline(item) for item in jobs])

    def _full(self, item: Job, waiting: Waiting | None) -> str:
        known = self._texts.get(item.id)
        if known is not None and known[0]() is item and known[1] is waiting:
            return known[2]
        text = dumps(job(item, self._own_url, waiting))[:-1]
        self._texts.put(item.id, (ref(item), waiting, text))
        return text


@lru_cache(maxsize=64)
def _escaped(base_url: str) -> str:
    return json.dumps(base_url)[1:-1]


def quote(made: Quote) -> dict[str, Any]:
    """``initializeCompute``: per item what has to be ordered."""
    document: dict[str, Any] = {"datasets": [item_quote(item) for item in made.datasets]}
    if made.algorithm is not None:
        document["algorithm"] = item_quote(made.algorithm)
    return document


def item_quote(item: ItemQuote) -> dict[str, Any]:
    """A fee alone asks for a new order, a ``validOrder`` alone for none, both for the order
    to be renewed. Where nothing is sold the order named is a zero."""
    if item.verbatim is not None:
        return dict(item.verbatim)
    document: dict[str, Any] = {}
    if item.fee is not None:
        document = {"datatoken": item.datatoken, "providerFee": provider_fee(item.fee)}
    if item.valid_order or item.fee is None:
        document["validOrder"] = item.valid_order or NO_ORDER
    return document


def provider_fee(fee: FeeQuote) -> dict[str, Any]:
    """A fee as ``startOrder`` and ``reuseOrder`` of a datatoken take it."""
    return {
        "providerFeeAddress": to_checksum(fee.address),
        "providerFeeToken": to_checksum(fee.token),
        "providerFeeAmount": str(fee.amount),
        "providerData": "0x" + fee.data.hex(),
        "v": fee.v,
        "r": "0x" + fee.r.hex(),
        "s": "0x" + fee.s.hex(),
        "validUntil": fee.valid_until,
    }


def _result(file: ResultFile, encrypt_to: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "filename": file.filename,
        "filesize": file.filesize,
        "type": file.type,
        "index": file.index,
        "sha256": file.sha256,
    }
    return document | {"encrypted": True} if encrypt_to else document


def _urls(item: Job, base_url: str, kind: str) -> list[str]:
    """Working addresses of results, except that each still wants a nonce and a signature."""
    path = ROUTES["computeResult"][1]
    return [
        f"{base_url}{path}?{urlencode({'jobId': item.id, 'index': file.index})}"
        for file in item.results
        if file.type == kind
    ]


def _stopreq(item: Job) -> int:
    if item.termination is not None and item.termination.reason in _OUT_OF_TIME:
        return _TIMED_OUT
    return 0 if item.goal is Goal.RUN else _STOPPED_BY_USER


def _time(seconds: float) -> str:
    return f"{seconds:.6f}"


def _plain(value: float | Decimal) -> int | float:
    """A whole number as such."""
    return int(value) if value == int(value) else float(value)
