"""What a record looks like, byte for byte."""

from __future__ import annotations

import hashlib
import json

from audit_samples import JOB, KEY, NOW, WALLET, entry
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from provider.auditing import records
from provider.auditing.reading import line_of, records_of
from provider.auditing.records import FIRST_PREVIOUS


def test_a_record_is_this_text_and_no_other() -> None:
    made = records.record(
        entry(request="r-1", details={"z": 1, "a": ["ü", True, None]}), 7, "ab" * 32
    )
    assert made.body == (
        '{"actor":"' + WALLET + '","decision":"allowed","details":{"a":["ü",true,null],"z":1},'
        '"job":"' + JOB + '","kind":"start","previous":"' + "ab" * 32 + '","reason":"",'
        '"request":"r-1","sequence":7,"text":"","time":"2027-01-15T08:00:00.000000Z","v":1}'
    )
    assert made.hash == hashlib.sha256(made.body.encode()).hexdigest()
    assert (made.sequence, made.time, made.job) == (7, "2027-01-15T08:00:00.000000Z", JOB)


def test_times_sort_as_texts() -> None:
    times = [0.0, 1.5, NOW, NOW + 0.000001, NOW + 1]
    assert sorted(map(records.stamp, times)) == list(map(records.stamp, times))
    assert len(set(map(len, map(records.stamp, times)))) == 1


def test_a_head_is_what_any_wallet_would_sign() -> None:
    signature = KEY.sign_digest(records.head_digest(12, "cd" * 32))
    text = "Ocean Compute audit log\nrecord: 12\nhash: " + "cd" * 32
    signer = Account.recover_message(encode_defunct(text=text), signature=signature)
    assert signer == KEY.address


def test_what_strangers_wrote_is_cut_and_names_no_place() -> None:
    told = records.clean("see https://user:pass@host/secret?x=1 and\nmore\x00" + "x" * 1000)
    assert told.startswith("see <URL> and\N{REPLACEMENT CHARACTER}more\N{REPLACEMENT CHARACTER}")
    assert len(told) == records.MOST_TEXT
    assert records.job_id(JOB) == JOB
    assert records.job_id(JOB + "\n") == records.job_id("0x" + "11" * 65) == ""
    assert records.dids(["did:op:ab", "https://x", "did:op:" + "a" * 65]) == ["did:op:ab"]
    assert records.transaction("0x" + "aB" * 32) == "0x" + "aB" * 32
    assert records.transaction("0x" + "11" * 65) == ""
    assert records.name("small-1") == "small-1"
    assert records.name("a b") == ""


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4), st.text())
def test_an_export_gives_back_what_was_hashed(details: dict[str, object], text: str) -> None:
    """Whatever is in it: also lone surrogates, which no database takes."""
    made = records.record(entry(details=details, text=text), 1, FIRST_PREVIOUS)
    assert made.body.encode()
    assert "\x00" not in made.body
    [(number, read)] = records_of([line_of(made) + "\n"])
    assert (number, read) == (1, made)
    assert json.loads(made.body)["details"].keys() == json.loads(line_of(made))["details"].keys()
