"""The use case: a job's receipt, for whoever may have it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from compute.errors import UnknownJob
from compute.models import Job
from compute.operator import Operator
from compute.store.recent import Recent
from provider.auth.caller import Callers, Claim
from provider.errors import NoSuchJob, NoSuchReceipt, SignatureMissing
from provider.keys import ProviderKey
from provider.receipts.dsse import sealed
from provider.receipts.statement import canonical, statement

_REMEMBERED = 256
_REMEMBERED_BYTES = 32 << 20
"""A receipt of ten thousand results takes half a second to write."""

_NO_SUCH_JOB = "No such job belongs to this address."


class Receipts:
    """Signs accounts of jobs when they are asked for: the same bytes each time."""

    def __init__(
        self, *, operator: Operator, callers: Callers, key: ProviderKey, require_signature: bool
    ) -> None:
        self._operator = operator
        self._callers = callers
        self._key = key
        self._require_signature = require_signature
        self._made: Recent[str, bytes] = Recent(_REMEMBERED, budget=_REMEMBERED_BYTES, weigh=len)

    async def receipt(self, job_id: str, claim: Claim | None) -> bytes:
        """The receipt of a job that is over, deleted or not.

        Like a job's status it is for whoever knows the unguessable id, or, where questions
        have to be signed, for the job's owner and for the reviewers who were asked about its
        results. Nothing changes, so the nonce is not consumed. Raises NoSuchJob,
        NoSuchReceipt, SignatureError.
        """
        if claim is not None:
            await self._callers.recognise(claim)
        elif self._require_signature:
            raise SignatureMissing("Invalid signature provided. A receipt needs one here.")
        try:
            job = await self._operator.job(job_id)
        except UnknownJob:
            raise NoSuchJob(_NO_SUCH_JOB, field="jobId") from None
        if claim is not None and not _may(job, claim.address.lower()):
            raise NoSuchJob(_NO_SUCH_JOB, field="jobId")
        known = self._made.get(job_id)
        if known is None:
            account = await self._account(job)
            known = await asyncio.to_thread(_signed, account, self._key)
            self._made.put(job_id, known)
        return known

    async def _account(self, job: Job) -> Mapping[str, Any]:
        if not job.phase.terminal:
            text = f"No receipt for job {job.id} yet: it is not over ({job.phase.text})."
            raise NoSuchReceipt(text)
        account = await self._operator.account(job.id)
        if account is None:
            text = f"No receipt for job {job.id}: it was over before receipts were made here."
            raise NoSuchReceipt(text)
        return account


def _signed(account: Mapping[str, Any], key: ProviderKey) -> bytes:
    return sealed(canonical(statement(account)), key)


def _may(job: Job, wallet: str) -> bool:
    reviewers = job.verdict.reviewers if job.verdict else ()
    return wallet == job.owner.lower() or wallet in reviewers
