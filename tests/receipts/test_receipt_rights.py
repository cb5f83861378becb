"""Who may have a receipt."""

from __future__ import annotations

from typing import Any, cast

import pytest
from receipt_samples import JOB, KEY, OWNER, REVIEWER, a_job, an_account, held

from compute.errors import UnknownJob
from compute.models import Job
from compute.operator import Operator
from compute.status import Phase
from provider.auth.caller import Callers, Claim
from provider.errors import NoSuchJob, NoSuchReceipt, ProviderError, SignatureMissing
from provider.receipts.giving import Receipts
from provider.receipts.verifying import verify


class Desk:
    """An operator with one job, and callers who are who they say."""

    def __init__(self, job: Job, account: dict[str, Any] | None) -> None:
        self._job, self._account = job, account
        self.asked = 0

    async def job(self, job_id: str) -> Job:
        if job_id != self._job.id:
            raise UnknownJob("No such job")
        return self._job

    async def account(self, job_id: str) -> dict[str, Any] | None:
        self.asked += 1
        return self._account

    async def recognise(self, claim: Claim) -> None: ...


def receipts(desk: Desk, *, demands: bool = False) -> Receipts:
    operator, callers = cast(Operator, desk), cast(Callers, desk)
    return Receipts(operator=operator, callers=callers, key=KEY, require_signature=demands)


def claim(address: str) -> Claim:
    return Claim(address, "computeReceipt", lambda nonce: [], "")


async def test_owner_and_reviewers_may_and_nobody_else_who_signs() -> None:
    desk = Desk(a_job(verdict=held()), an_account())
    giving = receipts(desk, demands=True)
    first = await giving.receipt(JOB, claim(OWNER.upper().replace("X", "x")))
    assert await giving.receipt(JOB, claim(REVIEWER)) == first
    assert verify(first, providers=[KEY.address]).account == an_account()
    assert desk.asked == 1
    with pytest.raises(NoSuchJob):
        await giving.receipt(JOB, claim("0x" + "99" * 20))
    with pytest.raises(SignatureMissing):
        await giving.receipt(JOB, None)
    with pytest.raises(NoSuchJob):
        await giving.receipt("another", claim(OWNER))


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (a_job(phase=Phase.HELD), "yet: it is not over .Results held for review."),
        (a_job(), "it was over before receipts were made here"),
    ],
)
async def test_why_there_is_none_is_told(job: Job, says: str) -> None:
    giving = receipts(Desk(job, None))
    with pytest.raises(NoSuchReceipt, match=says) as refused:
        await giving.receipt(JOB, None)
    assert refused.value.status == 404
    assert isinstance(refused.value, ProviderError)
