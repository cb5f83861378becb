"""What a fee costs, what is signed of it, and when one pays. Tables."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_samples import (
    DATATOKEN,
    HOUR,
    HOUR_PRICE,
    KEY,
    NOW,
    OTHER_KEY,
    OTHER_TOKEN,
    TOKEN,
    fee_terms,
    paid_fee,
    quote,
    receipt,
)

from provider.chain import events
from provider.chain.events import ProviderFee
from provider.chain.fees import (
    MAX_DATA_BYTES,
    PRICE_HOLDS_S,
    ZERO_ADDRESS,
    FeeQuote,
    FeeTerms,
    cost,
    due,
    fee_digest,
    fee_signer,
    pays,
    per_minute_units,
    sign,
)

VECTOR_DATA = (
    b'{"environment":"env1","timestamp":1700000000.5,'
    b'"dt":"0xD1d1d1D1d1d1D1d1D1D1D1d1d1D1D1D1d1D1d1d1","id":"svc1"}'
)
VECTOR_R = "e45b6ae1f57fb5a4978c3dae236e4cc6d66c4f31f0990d33bbd251a9b8563059"
VECTOR_S = "65e804d4260f59da6580782b15717ac6e44a86a6936744f531e773272c5f95d6"
VECTOR_DIGEST = "6c0f75187ef041a796037ec6841db9730eb374f8ed47d11426a106376642f08c"
VECTOR_TERMS = FeeTerms("env1", 1700000000.5, "0xD1d1d1D1d1d1D1d1D1D1D1d1d1D1D1D1d1D1d1d1", "svc1")
MINUTE_UNITS = Decimal(1_500_000)


def event(fee: FeeQuote, **changed: Any) -> ProviderFee:
    [log] = receipt(paid_fee(fee=fee, **changed)).logs
    found = events.provider_fee(log)
    assert found is not None
    return found


class TestVector:
    """Numbers made by the old provider and checked against the contract's own code."""

    def test_data_is_byte_for_byte_what_the_old_provider_writes(self) -> None:
        assert VECTOR_TERMS.encode() == VECTOR_DATA

    def test_digest(self) -> None:
        digest = fee_digest(VECTOR_DATA, KEY.address, TOKEN, 599 * 10**18, 1700000600)
        assert digest.hex() == VECTOR_DIGEST

    def test_signature(self) -> None:
        fee = sign(
            KEY, token=TOKEN, amount=599 * 10**18, terms=VECTOR_TERMS, valid_until=1700000600
        )
        assert (fee.v, fee.r.hex(), fee.s.hex()) == (27, VECTOR_R, VECTOR_S)
        assert fee.data == VECTOR_DATA
        assert fee.address == KEY.address.lower()


class TestTerms:
    @pytest.mark.parametrize(
        "terms",
        [
            fee_terms(),
            fee_terms(environment=None),
            fee_terms(chain_id=None),
            fee_terms(per_minute=Decimal("0.1")),
            fee_terms(per_minute=Decimal(10**77)),
            fee_terms(per_minute=Decimal("1E+3")),
            fee_terms(quoted_at=1_800_000_000.123456),
            fee_terms(service_id='odd "id" \\ ü \ud800'),
        ],
    )
    def test_read_back(self, terms: FeeTerms) -> None:
        assert FeeTerms.parse(terms.encode()) == terms

    def test_order_of_parts(self) -> None:
        text = fee_terms(per_minute=Decimal("1.50")).encode().decode()
        assert text == (
            '{"environment":"paid","timestamp":1800001000.0,'
            f'"dt":"{DATATOKEN}","id":"access","chainId":8996,"perMinute":"1.5"}}'
        )

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff\xfe",
            b"null",
            b"[]",
            b"7",
            b'{"environment":"paid"',
            b"[" * 4000,
            b'{"a":' * 700 + b"1" + b"}" * 700,
            fee_terms().encode().replace(b"1800001000.0", b"true"),
            fee_terms().encode().replace(b"1800001000.0", b'"1800001000"'),
            fee_terms().encode().replace(b"1800001000.0", b"NaN"),
            fee_terms().encode().replace(b"1800001000.0", b"Infinity"),
            fee_terms().encode().replace(b"1800001000.0", b"1e999"),
            fee_terms().encode().replace(b"1800001000.0", b"-1"),
            fee_terms().encode().replace(b"1800001000.0", b"9" * 3000),
            fee_terms().encode().replace(b"1800001000.0", b"null"),
            fee_terms().encode().replace(b'"paid"', b"7"),
            fee_terms().encode().replace(b'"paid"', b'["paid"]'),
            fee_terms().encode().replace(b'"access"', b"0"),
            fee_terms().encode().replace(DATATOKEN.encode(), b"0xd1"),
            fee_terms().encode().replace(b"8996", b'"8996"'),
            fee_terms().encode().replace(b"8996", b"8996.0"),
            fee_terms().encode().replace(b"8996", b"true"),
            fee_terms().encode().replace(b"8996", b"0"),
            fee_terms().encode().replace(b"8996", b"-8996"),
            fee_terms().encode().replace(b"8996", b"1" + b"0" * 40),
            fee_terms(per_minute=Decimal(5)).encode().replace(b'"5"', b"5"),
            fee_terms(per_minute=Decimal(5)).encode().replace(b'"5"', b'"-5"'),
            fee_terms(per_minute=Decimal(5)).encode().replace(b'"5"', b'"NaN"'),
            fee_terms(per_minute=Decimal(5)).encode().replace(b'"5"', b'"1e9"'),
            fee_terms(per_minute=Decimal(5)).encode().replace(b'"5"', '"\u0665"'.encode()),
            fee_terms(service_id="x" * MAX_DATA_BYTES).encode(),
        ],
    )
    def test_what_no_provider_writes_is_no_terms(self, data: bytes) -> None:
        assert FeeTerms.parse(data) is None

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_strangers_bytes_never_raise(self, data: bytes) -> None:
        assert FeeTerms.parse(data) is None


class TestAmounts:
    @pytest.mark.parametrize(
        ("seconds", "price", "decimals", "amount"),
        [
            (0, "1", 18, 0),
            (60, "1", 18, 10**18),
            (59, "1", 18, 983333333333333334),
            (1, "1", 0, 1),
            (61, "1", 0, 2),
            (3600, "1.5", 6, HOUR_PRICE),
            (86_400 + 600, "1", 18, 1450 * 10**18),
            (1, "0.000000000000000001", 18, 1),
            (60, "0.0000001", 6, 1),
            (600, "0.0000001", 6, 1),
            (601, "0.0000001", 6, 2),
            (60, "0", 18, 0),
            (30 * 86_400, "123456789012345678.123456789012345678", 18, 0),
        ],
    )
    def test_due(self, seconds: int, price: str, decimals: int, amount: int) -> None:
        exact = Fraction(price) * seconds * 10**decimals / 60
        amount = amount or int(exact) + (exact.denominator > 1)
        assert due(seconds, Decimal(price), decimals) == amount

    @given(
        st.integers(0, 10**8),
        st.decimals(0, 10**17, places=18, allow_nan=False),
        st.integers(0, 36),
    )
    def test_rounded_up_by_less_than_one(self, seconds: int, price: Decimal, decimals: int) -> None:
        exact = Fraction(price) * seconds * 10**decimals / 60
        assert 0 <= due(seconds, price, decimals) - exact < 1

    @given(st.decimals(0, 10**17, places=18, allow_nan=False), st.integers(0, 40))
    def test_units_keep_every_digit(self, price: Decimal, decimals: int) -> None:
        units = per_minute_units(price, decimals)
        assert Fraction(units) == Fraction(price) * 10**decimals
        found = FeeTerms.parse(fee_terms(per_minute=units).encode())
        assert found is not None
        assert found.per_minute == units

    @pytest.mark.parametrize(
        ("seconds", "rate"), [(-1, "1"), (60, "-1"), (60, "NaN"), (60, "Infinity")]
    )
    def test_no_negative_time_or_price(self, seconds: int, rate: str) -> None:
        with pytest.raises(ValueError, match="negative"):
            cost(seconds, Decimal(rate))


class TestSigning:
    def test_signer_is_the_key(self) -> None:
        assert fee_signer(quote()) == KEY.address.lower()
        assert fee_signer(quote(key=OTHER_KEY)) == OTHER_KEY.address.lower()

    def test_event_has_the_same_signer(self) -> None:
        assert fee_signer(event(quote(amount=7))) == KEY.address.lower()

    @pytest.mark.parametrize("at", range(0, len(quote().data), 11))
    def test_one_byte_of_data_changed(self, at: int) -> None:
        fee = quote()
        data = fee.data[:at] + bytes([fee.data[at] ^ 1]) + fee.data[at + 1 :]
        assert fee_signer(replace(fee, data=data)) != KEY.address.lower()

    @pytest.mark.parametrize("part", ["r", "s"])
    @pytest.mark.parametrize("at", [0, 1, 15, 31])
    def test_one_byte_of_signature_changed(self, part: str, at: int) -> None:
        fee = quote()
        raw = bytearray(getattr(fee, part))
        raw[at] ^= 1
        changed: dict[str, Any] = {part: bytes(raw)}
        assert fee_signer(replace(fee, **changed)) != KEY.address.lower()

    @pytest.mark.parametrize(
        "changed",
        [
            {"token": OTHER_TOKEN},
            {"amount": 1},
            {"valid_until": NOW + HOUR + 1},
            {"fee_address": OTHER_KEY.address},
        ],
    )
    def test_any_other_value_changed(self, changed: dict[str, Any]) -> None:
        assert fee_signer(event(quote(), **changed)) != KEY.address.lower()

    @pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 255])
    def test_only_what_the_contract_takes_for_v(self, v: int) -> None:
        assert fee_signer(event(quote(), v=v)) is None

    def test_no_key_recovers(self) -> None:
        assert fee_signer(event(quote(), r=b"\xff" * 32)) is None

    @pytest.mark.parametrize(
        ("amount", "valid_until"), [(-1, 0), (1 << 256, 0), (0, -1), (0, 1 << 256)]
    )
    def test_numbers_that_no_contract_can_hold(self, amount: int, valid_until: int) -> None:
        with pytest.raises(ValueError, match="256 bits"):
            quote(amount=amount, valid_until=valid_until)

    def test_largest_numbers(self) -> None:
        fee = quote(amount=(1 << 256) - 1, valid_until=(1 << 256) - 1)
        assert fee_signer(event(fee)) == KEY.address.lower()

    @pytest.mark.parametrize(
        "changed", [{"datatoken": "0xd1"}, {"service_id": "x" * 5000}, {"quoted_at": -1.0}]
    )
    def test_terms_that_could_not_be_read_back(self, changed: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="read back"):
            quote(**changed)


def paid(
    amount: int = HOUR_PRICE,
    *,
    valid_until: int = NOW + HOUR,
    token: str = TOKEN,
    paid_at: int = NOW,
    price: Decimal = MINUTE_UNITS,
    **terms: Any,
) -> bool:
    """Whether a fee made now pays, at a price of one and a half tokens a minute."""
    signed = fee_terms(**terms)
    fee = event(quote(amount=amount, valid_until=valid_until, token=token, **terms))
    return pays(fee, signed, paid_at, token=TOKEN, per_minute=price)


class TestPays:
    def test_exactly_enough(self) -> None:
        assert paid(HOUR_PRICE)

    def test_one_unit_too_little(self) -> None:
        assert not paid(HOUR_PRICE - 1)

    def test_whole_days_count(self) -> None:
        assert not paid(HOUR_PRICE, valid_until=NOW + 24 * HOUR + HOUR)
        assert paid(25 * HOUR_PRICE, valid_until=NOW + 25 * HOUR)

    def test_another_token(self) -> None:
        assert not paid(HOUR_PRICE, token=OTHER_TOKEN)

    def test_no_token_is_no_money(self) -> None:
        fee = event(quote(amount=HOUR_PRICE, token=ZERO_ADDRESS))
        assert not pays(fee, fee_terms(), NOW, token=ZERO_ADDRESS, per_minute=MINUTE_UNITS)

    def test_token_in_any_case(self) -> None:
        fee = event(quote(amount=HOUR_PRICE))
        assert pays(fee, fee_terms(), NOW, token=TOKEN.upper(), per_minute=MINUTE_UNITS)

    @pytest.mark.parametrize("until", [NOW, NOW - 1, 0])
    def test_no_time_is_not_paid_by_nothing(self, until: int) -> None:
        assert not paid(0, valid_until=until)
        assert not paid(10**30, valid_until=until)

    def test_a_begun_second_counts(self) -> None:
        assert paid(HOUR_PRICE, quoted_at=NOW + 0.9)
        assert not paid(HOUR_PRICE, quoted_at=NOW - 0.1)

    def test_nothing_to_pay(self) -> None:
        assert paid(0, price=Decimal(0), token=OTHER_TOKEN)

    def test_price_of_the_quote_holds_an_hour(self) -> None:
        """After it was raised."""
        raised = MINUTE_UNITS * 2
        late = NOW + PRICE_HOLDS_S
        assert paid(price=raised, per_minute=MINUTE_UNITS, paid_at=late)
        assert not paid(price=raised, per_minute=MINUTE_UNITS, paid_at=late + 1)
        assert not paid(HOUR_PRICE - 1, price=raised, per_minute=MINUTE_UNITS, paid_at=late)

    def test_lower_price_of_today_is_enough(self) -> None:
        assert paid(HOUR_PRICE // 2, price=MINUTE_UNITS / 2, per_minute=MINUTE_UNITS)

    def test_quote_without_a_price_promises_none(self) -> None:
        assert not paid(HOUR_PRICE, price=MINUTE_UNITS * 2)

    def test_quote_of_a_free_time_promises_none(self) -> None:
        assert not paid(0, per_minute=Decimal(0))
