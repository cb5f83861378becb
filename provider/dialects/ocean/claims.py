"""Who says to ask, read from a call's parameters: the same for all signed calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from provider.auth.caller import Claim
from provider.dialects.ocean.fields import Form


def made_claim(
    form: Form,
    token: str,
    operation: str,
    address: str,
    texts: Callable[[str], Sequence[str]],
    words: str,
    *,
    nonce_optional: bool = False,
) -> Claim:
    """The claim of a call whose address is read already. Raises InvalidRequest."""
    signature = form.text("signature")
    job_id = form.text("jobId")
    form.check()
    return Claim(
        address=address,
        operation=operation,
        texts=texts,
        words=words,
        nonce=form.raw("nonce"),
        signature=signature,
        token=token,
        expiry=form.raw("expiry"),
        job_id=job_id,
        parameters=form.values,
        nonce_optional=nonce_optional,
    )
