"""Each way to spoil a log is found and told in words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from audit_samples import (
    JOB,
    KEY,
    THIEF,
    append,
    entry,
    lived,
    rewritten,
    spoil,
    stored,
    verified,
)

from compute.store.base import Database
from provider.auditing import records
from provider.auditing.records import Record
from provider.auditing.verifying import Verifier


@pytest.fixture
async def chain(database: Database, url: str) -> list[Record]:
    """1 started, 2 head, 3-6 starts, 7 stopped, 8 head."""
    await lived(database)
    found = await stored(url)
    kinds = [json.loads(record.body)["kind"] for record in found]
    assert kinds == ["service_started", "head", *["start"] * 4, "service_stopped", "head"]
    return found


def found_in(chain: list[Record], **options: Any) -> list[str]:
    return list(verified(chain, **options).findings)


async def test_a_log_as_it_was_written_is_sound(chain: list[Record]) -> None:
    report = verified(chain, kept={3: chain[2].hash, 8: chain[7].hash})
    assert report.sound
    assert report.findings == ()
    assert (report.records, report.first, report.last, report.heads) == (8, 1, 8, 2)
    assert report.signed == 7
    assert report.signers == (KEY.address.lower(),)
    assert report.last_hash == chain[-1].hash


@pytest.mark.parametrize("place", range(8))
async def test_one_byte(chain: list[Record], place: int) -> None:
    """Any byte of the record, and any of its hash."""
    record = chain[place]
    whole = record.body + record.hash
    for at in range(0, len(whole), 7):
        changed = whole[:at] + ("0" if whole[at] != "0" else "1") + whole[at + 1 :]
        body, hash_ = changed[: len(record.body)], changed[len(record.body) :]
        spoilt = [*chain]
        spoilt[place] = replace(record, body=body, hash=hash_)
        told = found_in(spoilt)
        assert told[0] == (
            f"Record {place + 1} was changed after it was written: its content does not have"
            " its hash."
        )


async def test_a_byte_changed_in_the_database(
    chain: list[Record], database: Database, url: str
) -> None:
    await spoil(
        url, "UPDATE audit SET body = replace(body, 'allowed', 'refused') WHERE sequence = 4"
    )
    assert found_in(await stored(url)) == [
        "Record 4 was changed after it was written: its content does not have its hash."
    ]


async def test_a_row_removed(chain: list[Record], database: Database, url: str) -> None:
    await spoil(url, "DELETE FROM audit WHERE sequence = 5")
    assert found_in(await stored(url)) == ["Record 5 is missing."]


async def test_rows_swapped(chain: list[Record], database: Database, url: str) -> None:
    await spoil(
        url,
        "UPDATE audit SET sequence = -1 WHERE sequence = 4",
        "UPDATE audit SET sequence = 4 WHERE sequence = 5",
        "UPDATE audit SET sequence = 5 WHERE sequence = -1",
    )
    told = found_in(await stored(url))
    assert "In place 4 stands record 5: records were moved or swapped." in told
    assert "In place 5 stands record 4: records were moved or swapped." in told


async def test_lines_swapped_in_an_export(chain: list[Record]) -> None:
    told = found_in([*chain[:3], chain[4], chain[3], *chain[5:]], whole=False)
    assert told[0] == "Record 4 is missing."
    assert told[1].startswith("Record 4 comes after record 5: records were moved, swapped")


async def test_filed_under_another_job(chain: list[Record], database: Database, url: str) -> None:
    await spoil(url, f"UPDATE audit SET job = '{JOB}' WHERE sequence = 4")
    assert found_in(await stored(url)) == [
        "Record 4 is filed under another time or job than it speaks of."
    ]


async def test_the_beginning_removed(chain: list[Record]) -> None:
    assert found_in(chain[3:])[0] == "Records 1 to 3 are missing."
    assert found_in(chain[3:], whole=False) == []


async def test_the_tail_cut_off_against_a_head_that_was_kept(chain: list[Record]) -> None:
    """At a place where the log could end: nothing inside tells."""
    assert found_in(chain[:5]) == []
    assert found_in(chain[:5], kept={8: chain[7].hash}) == [
        "The log ends with record 5, but a head of record 8 was kept: records 6 to 8 were cut off."
    ]


async def test_the_tail_cut_off_where_a_head_belongs(chain: list[Record]) -> None:
    assert found_in(chain[:7]) == [
        "The log ends with record 7, which a signed head always follows: the end of the log was"
        " cut off."
    ]


def without_third(values: dict[str, object]) -> dict[str, object] | None:
    return None if values["sequence"] == 3 else values


def renamed(values: dict[str, object]) -> dict[str, object]:
    return values | ({"actor": "0x" + "ee" * 20} if values["sequence"] == 3 else {})


@pytest.mark.parametrize("change", [without_third, renamed])
async def test_a_chain_made_anew_is_betrayed_by_the_heads(chain: list[Record], change: Any) -> None:
    """All hashes fit; the last head was signed for others."""
    told = found_in(rewritten(chain, change))
    assert len(told) == 1
    assert "was signed for record 7 with another hash" in told[0]
    assert "written anew" in told[0]


async def test_made_anew_with_a_key_of_ones_own(chain: list[Record]) -> None:
    told = found_in(rewritten(chain, renamed, THIEF))
    assert len(told) == 2
    assert f"signed by {THIEF.address.lower()}, which is not the provider" in told[0]


async def test_made_anew_with_heads_that_name_the_provider(chain: list[Record]) -> None:
    """The hash in each head is put right, the signature is left."""

    def fitted(values: dict[str, object]) -> dict[str, object]:
        return renamed(values)

    made = rewritten(chain, fitted, THIEF)
    forged: list[Record] = []
    previous = records.FIRST_PREVIOUS
    for record, old in zip(made, chain, strict=True):
        values = json.loads(record.body) | {"previous": previous}
        if values["kind"] == records.HEAD:
            signature = json.loads(old.body)["details"]["signature"]
            values["details"] = {
                "sequence": record.sequence - 1,
                "hash": previous,
                "address": KEY.address,
                "signature": signature,
            }
        body = records.canonical(values)
        previous = records.digest(body)
        forged.append(replace(record, body=body, hash=previous))
    told = found_in(forged)
    assert len(told) == 1
    assert "The head in record 8 is signed by" in told[0]


async def test_made_anew_without_any_head(chain: list[Record]) -> None:
    def headless(values: dict[str, object]) -> dict[str, object] | None:
        return None if values["kind"] == records.HEAD else values

    told = found_in(rewritten(chain, headless))
    assert told[0].startswith("Record 2 should be a signed head, which always follows the start")


async def test_made_anew_without_starts_and_heads(chain: list[Record]) -> None:
    def bare(values: dict[str, object]) -> dict[str, object] | None:
        return values if values["kind"] == "start" else None

    assert found_in(rewritten(chain, bare)) == [
        "Record 1 is not the start of a service, which every log begins with: the log was"
        " written anew."
    ]


async def test_each_thousandth_record_is_a_head(database: Database, url: str) -> None:
    await append(database, entry("service_started"))
    for _ in range(7):
        await append(database, *(entry() for _ in range(300)))
    found = await stored(url)
    heads = [record.sequence for record in found if '"kind":"head"' in record.body]
    assert heads == [1000, 2000]
    assert verified(found[1:], whole=False).sound
    numbers = iter(range(1, 3000))

    def anew(values: dict[str, object]) -> dict[str, object] | None:
        next(numbers)
        return None if values["kind"] == records.HEAD else values

    told = found_in(rewritten(found, anew)[1:], whole=False)
    assert told == [
        f"Record {number} should be a signed head, as each 1000th is: the log was written anew."
        for number in (1000, 2000)
    ]


async def test_a_head_kept_of_another_chain(chain: list[Record]) -> None:
    told = found_in(chain, kept={4: "ab" * 32})
    assert told == [
        "Record 4 has another hash than the head that was kept: the log was written anew up to"
        " there."
    ]


def test_an_empty_log_says_so() -> None:
    assert not verified([]).sound
    assert verified([], whole=False).sound


async def test_a_row_of_nonsense(chain: list[Record]) -> None:
    for body in ("", "[]", "null", '{"sequence":4}', "[" * 9000, "\ud800"):
        spoilt = [*chain[:3], replace(chain[3], body=body), *chain[4:]]
        assert not verified(spoilt).sound


async def test_many_faults_are_counted_and_some_told(database: Database, url: str) -> None:
    await lived(database, 80)
    found = [replace(record, hash="0" * 64) for record in await stored(url)]
    report = verified(found)
    assert len(report.findings) == 50
    assert report.faults > 80


def test_heads_of_nobody_known_are_told_of() -> None:
    verifier = Verifier(whole=False)
    first = records.record(entry(), 4, "ab" * 32)
    signature = THIEF.sign_digest(records.head_digest(4, first.hash))
    details = {"sequence": 4, "hash": first.hash, "signature": signature}
    verifier.add(first)
    verifier.add(records.record(entry(records.HEAD, details=details, job=""), 5, first.hash))
    report = verifier.report()
    assert report.sound
    assert report.signers == (THIEF.address.lower(),)
