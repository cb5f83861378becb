"""Whether a chain of records is whole, told in words. Pure.

What the chain shows by itself: a record that was changed, left out, moved or put in. What only
the signed heads show: a chain that was made anew from some point on by somebody who can write
the database but has not the provider's key. Heads come at places that are known beforehand
(each thousandth record, after each start and each orderly end), so that leaving them out shows
as well. What nothing inside shows: that the newest records are missing. For that, somebody
keeps heads elsewhere and compares.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from provider.auditing import records
from provider.auditing.records import Record
from provider.auth.signatures import recover
from provider.errors import SignatureMalformed

MOST_FINDINGS: Final = 50
_FOLLOWED_BY_HEAD: Final = frozenset({records.STARTED, records.STOPPED})


@dataclass(frozen=True, slots=True)
class Report:
    """``findings`` are what is wrong, the first of them; ``faults`` counts all. ``signed`` is
    the number of the record up to which the provider has signed, 0 for none; ``signers`` are
    the addresses whose keys did."""

    records: int
    first: int
    last: int
    last_hash: str
    last_time: str
    heads: int
    signed: int
    signers: Sequence[str]
    findings: Sequence[str]
    faults: int

    @property
    def sound(self) -> bool:
        return not self.faults


class Verifier:
    """Takes the records of a log one by one, as they stand there.

    ``addresses`` are those of the provider (none are known where it is empty), ``kept`` heads
    that somebody has kept, hash by number. Without ``whole`` the first record may be any: the
    log is a part.
    """

    def __init__(
        self,
        addresses: Collection[str] = (),
        kept: Mapping[int, str] | None = None,
        *,
        whole: bool = True,
    ) -> None:
        self._addresses = {address.lower() for address in addresses}
        self._kept = dict(kept or {})
        self._whole = whole
        self._findings: list[str] = []
        self._faults = 0
        self._count = self._heads = self._signed = self._first = 0
        self._signers: dict[str, None] = {}
        self._last: Record | None = None
        self._needs_head = False

    def add(self, record: Record) -> None:
        """The next record."""
        values = self._read(record)
        if self._last is None:
            self._begin(record, values)
        else:
            self._follow(record, values, self._last)
        self._require_head(record, values)
        if values.get("kind") == records.HEAD:
            self._check_head(record, values)
        kept = self._kept.pop(record.sequence, record.hash)
        if kept != record.hash:
            self._find(
                f"Record {record.sequence} has another hash than the head that was kept: the log"
                " was written anew up to there."
            )
        self._needs_head = values.get("kind") in _FOLLOWED_BY_HEAD
        self._last = record
        self._count += 1

    def unreadable(self, line: int) -> None:
        """A line of a file that holds no record."""
        self._find(f"Line {line} is no record.")

    def report(self) -> Report:
        """After the last record."""
        last = self._last or Record(0, "", "", "", records.FIRST_PREVIOUS)
        if self._needs_head:
            self._find(
                f"The log ends with record {last.sequence}, which a signed head always follows:"
                " the end of the log was cut off."
            )
        if self._whole and not self._count:
            self._find("The log is empty, though the start of a service is always recorded.")
        for sequence in sorted(self._kept):
            gone = sequence > last.sequence
            self._find(
                f"The log ends with record {last.sequence}, but a head of record {sequence} was"
                f" kept: records {last.sequence + 1} to {sequence} were cut off."
                if gone
                else f"Record {sequence}, whose head was kept, is not here."
            )
        self._kept.clear()
        self._needs_head = False
        return Report(
            self._count,
            self._first,
            last.sequence,
            last.hash,
            last.time,
            self._heads,
            self._signed,
            tuple(self._signers),
            tuple(self._findings),
            self._faults,
        )

    def _read(self, record: Record) -> Mapping[str, Any]:
        """What the record says, and whether it is as it was written."""
        number = record.sequence
        if records.digest(record.body) != record.hash:
            self._find(
                f"Record {number} was changed after it was written: its content does not have"
                " its hash."
            )
        try:
            values = json.loads(record.body)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            self._find(f"Record {number} cannot be read.")
            return {}
        if values.get("sequence") != number:
            self._find(
                f"In place {number} stands record {_shown(values.get('sequence'))}: records were"
                " moved or swapped."
            )
        elif (values.get("time"), values.get("job")) != (record.time, record.job):
            self._find(f"Record {number} is filed under another time or job than it speaks of.")
        return values

    def _begin(self, record: Record, values: Mapping[str, Any]) -> None:
        self._first = record.sequence
        if record.sequence != 1:
            if self._whole:
                self._find(_missing(1, record.sequence - 1))
            return
        if values.get("previous") != records.FIRST_PREVIOUS:
            self._find("Record 1 says that something comes before it: the beginning is missing.")
        if values.get("kind") != records.STARTED:
            self._find(
                "Record 1 is not the start of a service, which every log begins with: the log was"
                " written anew."
            )

    def _follow(self, record: Record, values: Mapping[str, Any], last: Record) -> None:
        number, expected = record.sequence, last.sequence + 1
        if number > expected:
            self._find(_missing(expected, number - 1))
        elif number < expected:
            self._find(
                f"Record {number} comes after record {last.sequence}: records were moved, swapped"
                " or put in twice."
            )
        elif values and values.get("previous") != last.hash:
            self._find(
                f"Record {number} does not follow the record {last.sequence} that is here: one of"
                " the two was replaced."
            )

    def _require_head(self, record: Record, values: Mapping[str, Any]) -> None:
        if not values or values.get("kind") == records.HEAD:
            return
        if self._needs_head:
            self._find(
                f"Record {record.sequence} should be a signed head, which always follows the"
                " start and the end of a service: records were put in, or written anew."
            )
        elif record.sequence % records.HEAD_EVERY == 0:
            self._find(
                f"Record {record.sequence} should be a signed head, as each"
                f" {records.HEAD_EVERY}th is: the log was written anew."
            )

    def _check_head(self, record: Record, values: Mapping[str, Any]) -> None:
        """A head speaks of the record before it; that one is known unless the log is a part."""
        details = values.get("details")
        found = details if isinstance(details, dict) else {}
        number, hash_ = found.get("sequence"), found.get("hash")
        last = self._last
        if last is not None and (number, hash_) != (last.sequence, last.hash):
            self._find(
                f"The head in record {record.sequence} was signed for record {_shown(number)} with"
                f" another hash than record {last.sequence} has here: what comes before it was"
                " written anew, or records are missing."
            )
            return
        signer = _signer(number, hash_, found.get("signature"))
        if not signer:
            self._find(f"The signature of the head in record {record.sequence} is none of its own.")
            return
        if self._addresses and signer not in self._addresses:
            self._find(
                f"The head in record {record.sequence} is signed by {signer}, which is not the"
                " provider: the log was written anew by somebody else. (If the provider had that"
                " address then, say so with --address.)"
            )
            return
        self._signers[signer] = None
        self._heads += 1
        self._signed = max(self._signed, record.sequence - 1)

    def _find(self, text: str) -> None:
        self._faults += 1
        if len(self._findings) < MOST_FINDINGS:
            self._findings.append(text)


def _signer(sequence: object, hash_: object, signature: object) -> str:
    """The address that signed a head, "" if it was not signed so."""
    if not (type(sequence) is int and isinstance(hash_, str) and isinstance(signature, str)):
        return ""
    try:
        return recover(records.head_digest(sequence, hash_), signature)
    except (SignatureMalformed, UnicodeEncodeError):
        return ""


def _missing(first: int, last: int) -> str:
    if first == last:
        return f"Record {first} is missing."
    return f"Records {first} to {last} are missing."


def _shown(number: object) -> str:
    return str(number) if type(number) is int else "of no number"
