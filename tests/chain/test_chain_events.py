"""Events decode as the deployed contracts declare them, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from provider.auth.keccak import keccak256
from provider.chain import events, fake_events
from provider.chain.models import Log

A, B, C = ("0x" + digit * 40 for digit in "abc")
TX = "0x" + "12" * 32
MAX = 2**256 - 1


def abi_of(contract: str) -> list[dict[str, Any]]:
    """The ABI of the published contracts."""
    text = (resources.files("artifacts") / f"{contract}.json").read_text()
    found: list[dict[str, Any]] = json.loads(text)["abi"]
    return found


def log_of(emitted: fake_events.Emitted, **changes: Any) -> Log:
    log = Log(emitted.address, emitted.topics, emitted.data, 5, "0x" + "bb" * 32, TX, 3)
    return replace(log, **changes)


def started(**changes: Any) -> Log:
    given = {"consumer": A, "payer": B, "timestamp": 7, "market": C, "service_index": 2}
    return log_of(fake_events.order_started(C, **(given | changes)))


def reused(**changes: Any) -> Log:
    given = {"order_tx": TX, "caller": A, "timestamp": 7, "number": 9}
    return log_of(fake_events.order_reused(C, **(given | changes)))


def fee(**changes: Any) -> Log:
    given = {"fee_address": A, "token": B, "amount": MAX, "data": b"{}", "v": 27}
    given |= {"r": b"\x01" * 32, "s": b"\x02" * 32, "valid_until": 8}
    return log_of(fake_events.provider_fee(C, **(given | changes)))


def published(**changes: Any) -> Log:
    given = {"data": b"\x00\xff", "metadata_hash": TX, "decryptor_url": "https://ä", "state": 5}
    given |= {"updated_by": A, "flags": b"\x03", "timestamp": 4, "block_number": 6}
    return log_of(fake_events.metadata(C, **(given | changes)))


def state_changed(**changes: Any) -> Log:
    given = {"state": 3, "updated_by": A, "timestamp": 4, "block_number": 6}
    return log_of(fake_events.metadata_state(C, **(given | changes)))


DECODERS = {
    events.order_started: started,
    events.order_reused: reused,
    events.provider_fee: fee,
    events.metadata: published,
    events.metadata_state: state_changed,
}
ALL = pytest.mark.parametrize(
    ("decode", "make"), DECODERS.items(), ids=[each.__name__ for each in DECODERS]
)
TOPICS = {
    "ERC20Template": {
        "OrderStarted": events.ORDER_STARTED,
        "OrderReused": events.ORDER_REUSED,
        "ProviderFee": events.PROVIDER_FEE,
    },
    "ERC721Template": {
        "MetadataCreated": events.METADATA_CREATED,
        "MetadataUpdated": events.METADATA_UPDATED,
        "MetadataState": events.METADATA_STATE,
    },
}


@pytest.mark.parametrize("contract", ["ERC20Template", "ERC20TemplateEnterprise", "ERC721Template"])
def test_topics_and_their_places_are_those_of_the_contracts(contract: str) -> None:
    wanted = TOPICS[contract.removesuffix("Enterprise")]
    declared = {each["name"]: each for each in abi_of(contract) if each["type"] == "event"}
    for name, topic in wanted.items():
        inputs = declared[name]["inputs"]
        signature = f"{name}({','.join(each['type'] for each in inputs)})"
        assert keccak256(signature.encode()) == topic
        (event,) = [each for each in vars(events).values() if getattr(each, "topic", 0) == topic]
        assert event.indexed == tuple(each["type"] for each in inputs if each["indexed"])
        assert event.plain == tuple(each["type"] for each in inputs if not each["indexed"])


def test_topics_are_the_known_ones() -> None:
    assert events.ORDER_STARTED.hex().startswith("e1c4fa794edfa8f619b8257a077398950357b9c6")
    assert events.ORDER_REUSED.hex().startswith("526e31449ea46e2aecf9b480c8d7dfa191348ef7")
    assert events.PROVIDER_FEE.hex().startswith("f8ed11cdaaf10eca2b6c941fb802cb8682afe86c")
    assert events.METADATA_CREATED.hex().startswith("5463569dcc320958360074a9ab27e809e8a6942c")
    assert events.METADATA_UPDATED.hex().startswith("e5c4cf86b1815151e6f453e1e133d4454ae3b0b0")


def test_a_started_order() -> None:
    log = started()
    event = events.order_started(log)
    assert event == events.OrderStarted(log, A, B, 10**18, 2, 7, C, 0)


def test_a_reused_order() -> None:
    log = reused()
    assert events.order_reused(log) == events.OrderReused(log, TX, A, 7, 9)


def test_a_fee() -> None:
    log = fee()
    assert events.provider_fee(log) == events.ProviderFee(
        log, A, B, MAX, b"{}", 27, b"\x01" * 32, b"\x02" * 32, 8
    )


@pytest.mark.parametrize("created", [True, False])
def test_a_document(created: bool) -> None:
    log = published(created=created)
    assert events.metadata(log) == events.MetadataEvent(
        log, created, A, 5, "https://ä", b"\x03", b"\x00\xff", TX, 4, 6
    )


def test_a_state() -> None:
    log = state_changed()
    assert events.metadata_state(log) == events.MetadataState(log, A, 3, 4, 6)


def test_a_document_does_not_fill_the_log() -> None:
    log = published(data=b"sealed" * 1000)
    assert len(repr(events.metadata(log))) < 2000


def test_addresses_come_in_lower_case() -> None:
    event = events.order_started(started(consumer="0x" + "AbCdEf0123" * 4))
    assert event
    assert event.consumer == "0x" + "abcdef0123" * 4


@ALL
def test_other_events_are_none(decode: Any, make: Any) -> None:
    for other, make_other in DECODERS.items():
        assert (decode(make_other()) is None) == (other is not decode)


@ALL
def test_without_topics_it_is_no_event(decode: Any, make: Any) -> None:
    assert decode(replace(make(), topics=())) is None


@ALL
def test_a_topic_too_few_or_too_many(decode: Any, make: Any) -> None:
    log = make()
    assert decode(replace(log, topics=(*log.topics, bytes(32)))) is None
    if len(log.topics) > 1:
        assert decode(replace(log, topics=log.topics[:-1])) is None


def test_topics_that_are_no_words() -> None:
    log = started()
    first, second = log.topics[1:]
    shifted = (log.topics[0], first + second[:1], second[1:])
    assert events.order_started(replace(log, topics=shifted)) is None


@ALL
def test_data_that_ends_early(decode: Any, make: Any) -> None:
    log = make()
    assert decode(replace(log, data=b"")) is None
    assert decode(replace(log, data=log.data[:-32])) is None
    assert decode(replace(log, data=log.data[:31])) is None


@pytest.mark.parametrize("make", [started, fee, published, state_changed])
def test_an_address_that_is_larger_than_one(make: Any) -> None:
    log = make()
    decode = next(each for each, maker in DECODERS.items() if maker is make)
    assert decode(replace(log, topics=(log.topics[0], b"\xff" * 32, *log.topics[2:]))) is None


def test_numbers_that_do_not_fit_their_type() -> None:
    log = state_changed()
    assert events.metadata_state(replace(log, data=b"\xff" * 96)) is None
    data = bytearray(fee().data)
    data[64:96] = (256).to_bytes(32)
    assert events.provider_fee(replace(fee(), data=bytes(data))) is None


@pytest.mark.parametrize("offset", [2**256 - 1, 2**255, 2**63, 10**6, 1])
def test_pointers_that_lead_nowhere(offset: int) -> None:
    log = published()
    data = bytearray(log.data)
    data[32:64] = offset.to_bytes(32)
    assert events.metadata(replace(log, data=bytes(data))) is None


@pytest.mark.parametrize("length", [2**256 - 1, 2**62, 10**9])
def test_lengths_that_lie(length: int) -> None:
    log = fee()
    data = bytearray(log.data)
    data[192:224] = length.to_bytes(32)
    assert events.provider_fee(replace(log, data=bytes(data))) is None


def test_a_url_that_is_no_text_hides_no_document() -> None:
    types = ["uint8", "bytes", "bytes", "bytes", "bytes32", "uint256", "uint256"]
    data = encode(types, [0, b"\xff\xfe", b"", b"new", bytes(32), 0, 0])
    event = events.metadata(replace(published(), data=data))
    assert event is not None
    assert event.data == b"new"
    assert event.decryptor_url.isprintable()


@given(st.binary(max_size=600))
def test_any_bytes_are_an_event_or_none(data: bytes) -> None:
    for decode, make in DECODERS.items():
        decode(replace(make(), data=data))  # type: ignore[operator]


@given(st.data())
def test_changed_bytes_are_an_event_or_none(data: st.DataObject) -> None:
    for decode, make in DECODERS.items():
        changed = bytearray(make().data)
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
        decode(replace(make(), data=bytes(changed)))  # type: ignore[operator]
