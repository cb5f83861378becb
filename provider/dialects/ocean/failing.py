"""Why a job failed, in this API's words. Pure."""

from __future__ import annotations

from typing import Any

from compute.failures import Failure


def fields(failed: Failure | None) -> dict[str, Any] | None:
    """``failure`` of the job object: null for a job that did not fail."""
    if failed is None:
        return None
    return {
        "reason": failed.reason,
        "cause": failed.card.cause,
        "evidence": failed.evidence,
        "whoCanFix": [who.value for who in failed.card.who],
        "retry": failed.card.retry.value,
        "advice": failed.card.advice,
        "tries": failed.tries,
    }
