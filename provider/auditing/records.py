"""What a record is, as text and as a hash. Pure.

A record is a JSON object in canonical form: keys sorted, no white space, UTF-8 unescaped,
integers and no fractions, which for these values is RFC 8785. Its hash is SHA-256 over that
text. ``previous`` is the hash of the record before it, so that nothing can be changed, left out
or moved without changing every hash that comes after.

Texts come from strangers in part: they are cut, and hold no control character and no address
of a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from provider.auth.keccak import keccak256

VERSION: Final = 1
FIRST_PREVIOUS: Final = "0" * 64
"""What stands for the hash before the first record."""

ALLOWED: Final = "allowed"
REFUSED: Final = "refused"
DONE: Final = "done"
"""Decisions; DONE is what the service did by itself."""

STARTED: Final = "service_started"
STOPPED: Final = "service_stopped"
HEAD: Final = "head"
COUNTED: Final = "counted"
JOB_ENDED: Final = "job_ended"
JOB_DELETED: Final = "job_deleted"

SERVICE: Final = "service"
"""The actor of what nobody asked for."""

HEAD_EVERY: Final = 1000
"""Each record whose number this divides is a signed head."""

MOST_TEXT: Final = 300
MOST_LISTED: Final = 64

Details = Mapping[str, Any]

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_JOB_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_DID = re.compile(r"did:op:[0-9a-fA-F]{1,64}", re.ASCII)
_TRANSACTION = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to be: all but its place in the chain. ``time`` is in seconds since the epoch.

    ``actor`` is a wallet, ``<api>:<name of a key>``, or :data:`SERVICE`; never a secret.
    ``reason`` is a stable word, ``text`` a sentence for people. ``details`` has texts, whole
    numbers, truth values, lists and objects of these. ``address`` is the client's, "" where it
    is not kept.
    """

    time: float
    kind: str
    actor: str
    decision: str = ALLOWED
    job: str = ""
    request: str = ""
    reason: str = ""
    text: str = ""
    address: str = ""
    details: Details = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One link of the chain as it is stored. ``body`` is what ``hash`` is over."""

    sequence: int
    time: str
    job: str
    body: str
    hash: str


def record(entry: Entry, sequence: int, previous: str) -> Record:
    """The record of ``entry`` after that of the hash ``previous``."""
    at = stamp(entry.time)
    values: dict[str, Any] = {
        "v": VERSION,
        "sequence": sequence,
        "time": at,
        "kind": entry.kind,
        "actor": clean(entry.actor),
        "decision": entry.decision,
        "request": clean(entry.request),
        "job": entry.job,
        "reason": entry.reason,
        "text": clean(entry.text),
        "details": _cleaned(entry.details),
        "previous": previous,
    }
    if entry.address:
        values["address"] = clean(entry.address)
    body = canonical(values)
    return Record(sequence, at, entry.job, body, digest(body))


def canonical(value: object) -> str:
    return _CANONICAL.encode(value)


def digest(body: str) -> str:
    """SHA-256 in hexadecimal. A lone surrogate, which no record of ours has, is replaced."""
    return hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()


def stamp(time: float) -> str:
    """A time as text of one width, in UTC: sorts as time does."""
    at = datetime.fromtimestamp(time, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond:06d}Z"


def clean(text: str) -> str:
    """One line without addresses of files, of bounded length."""
    shown = _URL.sub("<URL>", text[: MOST_TEXT * 4])
    if shown.isprintable():
        return shown[:MOST_TEXT]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)[:MOST_TEXT]


def job_id(text: str) -> str:
    """``text`` if it can be the id of a job; strangers write what they like."""
    return text if _JOB_ID.fullmatch(text) else ""


def dids(texts: Sequence[str]) -> list[str]:
    """Those that can be asset names."""
    return [text for text in texts[:MOST_LISTED] if _DID.fullmatch(text)]


def name(text: str) -> str:
    """``text`` if it can be the name of an environment."""
    return text if _NAME.fullmatch(text) else ""


def transaction(text: str) -> str:
    """``text`` if it can be the hash of a transaction."""
    return text if _TRANSACTION.fullmatch(text) else ""


def head_text(sequence: int, hash_: str) -> str:
    """What the provider signs (EIP-191, ``personal_sign``) for a chain that ends so."""
    return f"Ocean Compute audit log\nrecord: {sequence}\nhash: {hash_}"


def head_digest(sequence: int, hash_: str) -> bytes:
    """The 32 bytes that are signed for :func:`head_text`."""
    text = head_text(sequence, hash_).encode()
    return keccak256(b"\x19Ethereum Signed Message:\n%d%s" % (len(text), text))


def _cleaned(value: object) -> Any:
    """As JSON that is canonical, whatever is in it."""
    if isinstance(value, Mapping):
        listed = list(value.items())[:MOST_LISTED]
        return {clean(str(key)): _cleaned(each) for key, each in listed}
    if isinstance(value, (list, tuple)):
        return [_cleaned(each) for each in value[:MOST_LISTED]]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return max(-(2**53), min(int(value), 2**53))
    return clean(str(value))
