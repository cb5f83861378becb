"""The calls of reviewers as they come over the wire."""

from __future__ import annotations

from provider.auth import messages
from provider.dialects.ocean.claims import made_claim
from provider.dialects.ocean.fields import Form
from provider.dialects.reading import Parameters
from provider.reviewing import DECISIONS, DecideCall, HeldQuery, LookCall

_LIST_WORDS = "consumerAddress/jobId/nonce/computeHeld"
_LOOK_WORDS = "consumerAddress/jobId/index/nonce/computeHeldResult"
_DECIDE_WORDS = "consumerAddress/jobId/decision/nonce/computeRelease"


def held(values: Parameters, token: str) -> HeldQuery:
    """computeHeld."""
    form = Form(values)
    reviewer = _signer(form)
    job_id = form.text("jobId")
    form.check()
    claim = made_claim(
        form,
        token,
        "computeHeld",
        reviewer,
        lambda nonce: [messages.held_text(reviewer, job_id, nonce)],
        _LIST_WORDS,
    )
    return HeldQuery(claim, job_id)


def look(values: Parameters, token: str) -> LookCall:
    """computeHeldResult."""
    form = Form(values)
    job_id = form.text("jobId", required=True)
    form.check()
    index = form.number("index")
    form.check()
    reviewer, shown = _signer(form), form.text("index")
    claim = made_claim(
        form,
        token,
        "computeHeldResult",
        reviewer,
        lambda nonce: [messages.held_result_text(reviewer, job_id, shown, nonce)],
        _LOOK_WORDS,
    )
    return LookCall(claim, job_id, index)


def decide(values: Parameters) -> DecideCall:
    """computeRelease. A token is not enough: whoever has one could let out what others own."""
    form = Form(values)
    job_id = form.text("jobId", required=True)
    decision = form.text("decision", required=True)
    form.check()
    if decision not in DECISIONS:
        form.fault("decision", f"must be {' or '.join(DECISIONS)}.")
    form.check()
    reviewer = _signer(form)
    claim = made_claim(
        form,
        "",
        "computeRelease",
        reviewer,
        lambda nonce: [messages.release_text(reviewer, job_id, decision, nonce)],
        _DECIDE_WORDS,
    )
    return DecideCall(claim, job_id, DECISIONS[decision])


def _signer(form: Form) -> str:
    reviewer = form.address("consumerAddress")
    form.check()
    form.text("nonce", required=True)
    form.check()
    return reviewer
