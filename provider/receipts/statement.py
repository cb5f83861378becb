"""What a receipt states: an in-toto Statement (v1) about a job. Pure.

Its subjects are the job's results by name and SHA-256, its predicate is the job's account (see
:mod:`compute.account`). in-toto wants at least one subject: of a job without results it is the
job itself, by the SHA-256 of its id.

Written as RFC 8785 has it: there is one text for one statement. An account holds no fractions,
so that these rules come down to sorted names, no blanks and UTF-8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:ocean-compute:receipt:v1"
"""Names what the predicate is like; there is nothing to be had at it. docs/receipts.md has it."""


def statement(account: Mapping[str, Any]) -> dict[str, Any]:
    """The statement that an account makes. Raises KeyError, TypeError for what is none."""
    return {
        "_type": STATEMENT,
        "subject": subjects(account),
        "predicateType": PREDICATE,
        "predicate": dict(account),
    }


def subjects(account: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the statement is about. Results may have one name twice, with their index they
    do not. Raises KeyError, TypeError."""
    results = [
        _subject(f"{file['index']}/{file['filename']}", file["sha256"])
        for file in account["results"]
    ]
    job_id = str(account["job"])
    return results or [_subject(f"job/{job_id}", hashlib.sha256(job_id.encode()).hexdigest())]


def _subject(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}


def canonical(value: Any) -> bytes:
    """The one text of a value (RFC 8785). Raises ValueError for what has none."""
    return rfc8785.dumps(value)
