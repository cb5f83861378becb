"""What makes a transaction an order of a service: one table of honest ones, one of tricks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from order_samples import (
    ALGORITHM_TOKEN,
    CHAIN_ID,
    DATATOKEN,
    EARLIER_TX,
    HOUR,
    KEY,
    NOW,
    OTHER_KEY,
    POD,
    STRANGER,
    TX,
    USER,
    judged,
    order_terms,
    paid_fee,
    quote,
    receipt,
    refused,
    reused,
    started,
)

from provider.chain import order_rules
from provider.chain.fake_events import Emitted
from provider.chain.order_rules import judge, renewed_order
from provider.errors import OrderRefused

LOOK_ALIKE = "0x" + "1a" * 20
ACCESS = quote(environment=None, valid_until=0)


class TestGood:
    def test_new_order(self) -> None:
        order = judged(started(), paid_fee())
        assert (order.tx, order.original_tx) == (TX, TX)
        assert (order.consumer, order.payer) == (POD, USER)
        assert (order.ordered_at, order.fee_at) == (NOW, NOW)
        assert order.expires_at is None
        assert order.fee is not None
        assert order.fee.valid_until == NOW + HOUR
        assert order.fee_terms is not None
        assert order.fee_terms.environment == "paid"
        assert order.fee_fault == ""
        assert order.name == f"{CHAIN_ID}:{TX}:0"
        assert order.fee_name == f"fee:{CHAIN_ID}:{TX}:1"

    def test_renewal(self) -> None:
        order = judged(
            reused(timestamp=NOW + 50),
            paid_fee(),
            original=[started(timestamp=NOW - 100), paid_fee(fee=quote(valid_until=NOW - 50))],
        )
        assert (order.tx, order.original_tx) == (TX, EARLIER_TX)
        assert (order.ordered_at, order.fee_at) == (NOW - 100, NOW + 50)
        assert order.name == f"{CHAIN_ID}:{EARLIER_TX}:0"
        assert order.fee_name == f"fee:{CHAIN_ID}:{TX}:1"

    def test_download(self) -> None:
        order = judged(started(), paid_fee(fee=ACCESS), terms=order_terms(environment=None))
        assert order.fee_fault == ""

    def test_download_long_after(self) -> None:
        terms = order_terms(environment=None, now=NOW + 1e9)
        assert judged(started(), paid_fee(fee=ACCESS), terms=terms).expires_at is None

    def test_quote_of_an_older_provider(self) -> None:
        assert judged(started(), paid_fee(fee=quote(chain_id=None))).tx == TX

    def test_fee_event_first(self) -> None:
        assert judged(paid_fee(), started()).tx == TX

    def test_logs_in_any_order(self) -> None:
        good = receipt(started(), paid_fee())
        shuffled = replace(good, logs=tuple(reversed(good.logs)))
        assert judge(order_terms(), shuffled, None).tx == TX

    def test_addresses_in_any_case(self) -> None:
        terms = order_terms(
            datatoken="0x" + DATATOKEN[2:].upper(), requester="0x" + USER[2:].upper()
        )
        fee = paid_fee(fee=quote(datatoken="0x" + DATATOKEN[2:].upper()))
        assert judged(started(), fee, terms=terms).name == f"{CHAIN_ID}:{TX}:0"

    @pytest.mark.parametrize(
        ("consumer", "payer", "sender"),
        [(USER, STRANGER, STRANGER), (STRANGER, USER, STRANGER), (STRANGER, STRANGER, USER)],
        ids=["consumer", "payer", "sender"],
    )
    def test_each_way_to_be_the_customer(self, consumer: str, payer: str, sender: str) -> None:
        """The factory pays when several datatokens are ordered at once: then the sender counts."""
        order = judged(started(consumer=consumer, payer=payer), paid_fee(), sender=sender)
        assert (order.consumer, order.payer) == (consumer, payer)

    def test_renewed_by_somebody_else(self) -> None:
        """Who pays for another's time may."""
        order = judged(reused(caller=STRANGER), paid_fee(), original=[started()], sender=STRANGER)
        assert order.payer == USER


FEE_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("other service", {"service_id": "compute"}, order_rules.NO_FEE.format(TX)),
    ("service in another case", {"service_id": "ACCESS"}, order_rules.NO_FEE.format(TX)),
    ("other datatoken", {"datatoken": ALGORITHM_TOKEN}, order_rules.NO_FEE.format(TX)),
    ("other environment", {"environment": "cheap"}, order_rules.OTHER_ENVIRONMENT),
    ("for a download", {"environment": None}, order_rules.OTHER_ENVIRONMENT),
    ("other chain", {"chain_id": CHAIN_ID + 1}, order_rules.OTHER_CHAIN),
    ("expired", {"valid_until": NOW - 1}, order_rules.FEE_EXPIRED),
    ("expires now", {"valid_until": NOW}, order_rules.FEE_EXPIRED),
    ("no time at all", {"valid_until": 0}, order_rules.FEE_EXPIRED),
    (
        "other provider",
        {"key": OTHER_KEY},
        order_rules.OTHER_PROVIDER.format(OTHER_KEY.address.lower(), KEY.address),
    ),
]
OTHER_SERVICES = 2
"""So many of them, the first, are orders of another service."""


def _table(faults: Sequence[tuple[str, dict[str, Any], str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("fee", "text"), [each[1:] for each in faults], ids=[each[0] for each in faults]
    )


FEES = _table(FEE_FAULTS)
MENDABLE = _table(FEE_FAULTS[OTHER_SERVICES:])
FORGED = pytest.mark.parametrize(
    "changed",
    [
        {"amount": 1},
        {"token": STRANGER},
        {"valid_until": NOW + 10 * HOUR},
        {"data": quote().data.replace(b'"paid"', b'"paid" ')},
        {"v": 0},
        {"v": 55 - quote().v},
        {"r": bytes([quote().r[0] ^ 1]) + quote().r[1:]},
        {"s": quote().s[:31] + bytes([quote().s[31] ^ 1])},
        {"r": quote(key=OTHER_KEY).r, "s": quote(key=OTHER_KEY).s},
    ],
    ids=["amount", "token", "validUntil", "data", "v", "parity", "r", "s", "other key"],
)


class TestFee:
    @FEES
    def test_refused(self, fee: dict[str, Any], text: str) -> None:
        assert refused(started(), paid_fee(fee=quote(**fee))) == text

    @FORGED
    def test_forged(self, changed: dict[str, Any]) -> None:
        """What the contract would never have let through."""
        assert refused(started(), paid_fee(**changed)) == order_rules.NOT_SIGNED

    def test_none(self) -> None:
        assert refused(started()) == order_rules.NO_FEE.format(TX)

    def test_no_terms(self) -> None:
        assert refused(started(), paid_fee(data=b"[" * 2000)) == order_rules.NO_FEE.format(TX)

    def test_compute_order_is_not_for_a_download(self) -> None:
        terms = order_terms(environment=None)
        assert refused(started(), paid_fee(), terms=terms) == order_rules.OTHER_ENVIRONMENT

    def test_download_with_an_end(self) -> None:
        fee = paid_fee(fee=quote(environment=None, valid_until=NOW - 1))
        text = refused(started(), fee, terms=order_terms(environment=None))
        assert text == order_rules.FEE_EXPIRED

    def test_largest_numbers(self) -> None:
        huge = (1 << 256) - 1
        fee = quote(amount=huge, valid_until=huge)
        order = judged(started(amount=huge), paid_fee(fee=fee))
        assert order.fee is not None
        assert order.fee.valid_until == huge
        assert refused(started(service_index=huge), paid_fee(fee=fee)) == (
            order_rules.NO_ORDER.format(TX)
        )


class TestRenewable:
    """For a quote, a bad fee on a good order is what a renewal mends."""

    @MENDABLE
    def test_fault_is_told(self, fee: dict[str, Any], text: str) -> None:
        order = judged(started(), paid_fee(fee=quote(**fee)), terms=order_terms(renewable=True))
        assert order.fee_fault == text

    @FORGED
    def test_forgery_is_told(self, changed: dict[str, Any]) -> None:
        order = judged(started(), paid_fee(**changed), terms=order_terms(renewable=True))
        assert order.fee_fault == order_rules.NOT_SIGNED

    def test_order_without_a_fee(self) -> None:
        order = judged(started(), terms=order_terms(renewable=True))
        assert order.fee_fault == order_rules.NO_FEE.format(TX)

    @pytest.mark.parametrize(
        ("logs", "terms"),
        [
            ([started(amount=1), paid_fee()], {}),
            ([started(service_index=1), paid_fee()], {}),
            ([started(), paid_fee(fee=quote(service_id="compute"))], {}),
            ([started(), paid_fee(fee=quote(service_id="ACCESS"))], {}),
            ([started(), paid_fee(fee=quote(service_id="compute", key=OTHER_KEY))], {}),
            ([started(), paid_fee()], {"requester": STRANGER}),
            ([started(timestamp=NOW - 11), paid_fee()], {"timeout_s": 10}),
            ([started(LOOK_ALIKE), paid_fee(LOOK_ALIKE)], {}),
        ],
        ids=[
            "too little",
            "other index",
            "other service",
            "another case",
            "another key's quote",
            "other customer",
            "timed out",
            "look-alike",
        ],
    )
    def test_nothing_else_is_let_pass(self, logs: list[Emitted], terms: dict[str, Any]) -> None:
        refused(*logs, terms=order_terms(renewable=True, **terms))


class TestOrder:
    def test_reverted(self) -> None:
        with pytest.raises(OrderRefused, match=r"^order transaction failed\.$"):
            judge(order_terms(), receipt(started(), paid_fee(), succeeded=False), None)

    def test_empty(self) -> None:
        assert refused() == order_rules.NO_FEE.format(TX)

    def test_look_alike_contract(self) -> None:
        """The quote costs nothing, so its signature is genuine; only the contract is not."""
        logs = [started(LOOK_ALIKE), paid_fee(LOOK_ALIKE)]
        assert refused(*logs) == order_rules.NO_FEE.format(TX)

    def test_look_alike_order_beside_a_genuine_fee(self) -> None:
        assert refused(started(LOOK_ALIKE), paid_fee()) == order_rules.NO_FEE.format(TX)

    def test_look_alike_fee_beside_a_genuine_order(self) -> None:
        cheap = paid_fee(fee=quote(service_id="compute"))
        logs = [started(), cheap, paid_fee(LOOK_ALIKE)]
        assert refused(*logs) == order_rules.NO_FEE.format(TX)

    def test_look_alike_renewal(self) -> None:
        logs = [reused(LOOK_ALIKE), paid_fee(LOOK_ALIKE)]
        assert refused(*logs, original=[started()]) == order_rules.NO_FEE.format(TX)

    def test_genuine_renewal_of_a_look_alike_order(self) -> None:
        """Nobody checks on the chain what a renewal refers to."""
        logs = [reused(), paid_fee()]
        text = refused(*logs, original=[started(LOOK_ALIKE), paid_fee(LOOK_ALIKE)])
        assert text == order_rules.NO_ORDER.format(EARLIER_TX)

    @pytest.mark.parametrize("index", [1, 2, 1 << 200])
    def test_other_index(self, index: int) -> None:
        logs = [started(service_index=index), paid_fee()]
        assert refused(*logs) == order_rules.NO_ORDER.format(TX)

    @pytest.mark.parametrize("amount", [0, 1, 10**18 - 1])
    def test_less_than_one_datatoken(self, amount: int) -> None:
        assert refused(started(amount=amount), paid_fee()) == order_rules.TOO_LITTLE

    def test_somebody_elses(self) -> None:
        text = refused(started(), paid_fee(), terms=order_terms(requester=STRANGER))
        assert text == order_rules.NOT_THEIRS

    @pytest.mark.parametrize(
        ("timeout", "age", "good"),
        [
            (0, 10**9, True),
            (10, 0, True),
            (10, 10, True),
            (10, 11, False),
            (10, -60, True),
            (-1, 0, False),
            (10**40, 10**9, True),
        ],
    )
    def test_timeout(self, timeout: int, age: int, good: bool) -> None:
        logs = [started(timestamp=NOW - age), paid_fee()]
        terms = order_terms(timeout_s=timeout)
        if good:
            expected = NOW - age + timeout if timeout else None
            assert judged(*logs, terms=terms).expires_at == expected
        else:
            assert refused(*logs, terms=terms) == order_rules.EXPIRED.format(timeout)


class TestRenewal:
    def test_names_the_order_to_look_up(self) -> None:
        assert renewed_order(order_terms(), receipt(reused(), paid_fee())) == EARLIER_TX
        assert renewed_order(order_terms(), receipt(started(), paid_fee())) is None

    @pytest.mark.parametrize(
        "emitted",
        [[], [started(LOOK_ALIKE)], [reused(LOOK_ALIKE), paid_fee(LOOK_ALIKE)]],
        ids=["nothing", "look-alike order", "look-alike renewal"],
    )
    def test_nothing_is_looked_up_for_a_stranger(self, emitted: list[Emitted]) -> None:
        with pytest.raises(OrderRefused):
            renewed_order(order_terms(), receipt(*emitted))

    def test_original_missing(self) -> None:
        assert refused(reused(), paid_fee()) == order_rules.ORIGINAL_FAILED

    def test_original_is_another_transaction(self) -> None:
        logs = [reused(order_tx="0x" + "99" * 32), paid_fee()]
        assert refused(*logs, original=[started()]) == order_rules.ORIGINAL_FAILED

    def test_original_reverted(self) -> None:
        failed = receipt(started(), tx=EARLIER_TX, succeeded=False)
        with pytest.raises(OrderRefused) as caught:
            judge(order_terms(), receipt(reused(), paid_fee()), failed)
        assert caught.value.public == order_rules.ORIGINAL_FAILED

    @pytest.mark.parametrize(
        "original",
        [
            [],
            [started(service_index=1)],
            [started(ALGORITHM_TOKEN)],
            [reused(), paid_fee()],
        ],
        ids=["nothing", "other index", "other datatoken", "another renewal"],
    )
    def test_original_is_no_order_of_this_service(self, original: list[Emitted]) -> None:
        text = refused(reused(), paid_fee(), original=original)
        assert text == order_rules.NO_ORDER.format(EARLIER_TX)

    def test_original_of_somebody_else(self) -> None:
        """Renewing another's order buys time on nobody's data."""
        theirs = [started(payer=STRANGER, consumer=STRANGER)]
        text = refused(reused(caller=USER), paid_fee(), original=theirs, original_sender=STRANGER)
        assert text == order_rules.NOT_THEIRS

    def test_brings_no_new_time_on_the_data(self) -> None:
        """It costs no datatoken, so it must not be worth one."""
        terms = order_terms(timeout_s=HOUR)
        old = [started(timestamp=NOW - HOUR - 1)]
        text = refused(reused(), paid_fee(), original=old, terms=terms)
        assert text == order_rules.EXPIRED.format(HOUR)

    @pytest.mark.parametrize("renewable", [False, True])
    def test_of_another_service_that_had_this_place(self, renewable: bool) -> None:
        """The publisher put this service where the ordered one was; the datatoken is theirs."""
        terms = order_terms(renewable=renewable)
        bought = [started(), paid_fee(fee=quote(service_id="compute"))]
        text = refused(reused(), paid_fee(), original=bought, terms=terms)
        assert text == order_rules.NO_ORDER.format(EARLIER_TX)

    @pytest.mark.parametrize(
        "fee",
        [
            None,
            paid_fee(data=b"terms of somebody else"),
            paid_fee(data=b""),
            paid_fee(fee=quote(datatoken=ALGORITHM_TOKEN, service_id="algo")),
        ],
        ids=["none", "unreadable", "empty", "of another datatoken"],
    )
    def test_original_that_does_not_tell_its_service(self, fee: Emitted | None) -> None:
        bought = [started(), *([fee] if fee else [])]
        assert judged(reused(), paid_fee(), original=bought).original_tx == EARLIER_TX

    def test_original_for_another_environment(self) -> None:
        bought = [started(), paid_fee(fee=quote(environment="cheap", key=OTHER_KEY))]
        assert judged(reused(), paid_fee(), original=bought).original_tx == EARLIER_TX

    def test_requesters_order_among_several_originals(self) -> None:
        """Another wallet ordered the same in that transaction, later."""
        bought = [
            started(payer=POD, consumer=USER, timestamp=NOW - 5),
            paid_fee(),
            started(payer=POD, consumer=STRANGER),
            paid_fee(),
        ]
        order = judged(reused(), paid_fee(), original=bought, original_sender=POD)
        assert (order.consumer, order.ordered_at) == (USER, NOW - 5)
        nobody = order_terms(requester=ALGORITHM_TOKEN)
        text = refused(reused(), paid_fee(), original=bought, original_sender=POD, terms=nobody)
        assert text == order_rules.NOT_THEIRS

    @FEES
    def test_fee_is_judged_like_any(self, fee: dict[str, Any], text: str) -> None:
        logs = [reused(), paid_fee(fee=quote(**fee))]
        assert refused(*logs, original=[started(), paid_fee()]) == text

    def test_fee_of_the_original_does_not_count(self) -> None:
        assert refused(reused(), original=[started(), paid_fee()]) == order_rules.NO_FEE.format(TX)


class TestAnotherProvidersService:
    TERMS = order_terms(fee_address=None)

    def test_fee_is_not_ours_to_judge(self) -> None:
        fee = paid_fee(fee=quote(key=OTHER_KEY, environment="theirs", valid_until=1))
        order = judged(started(), fee, terms=self.TERMS)
        assert order.fee_fault == ""

    def test_without_terms_of_ours(self) -> None:
        assert judged(started(), paid_fee(data=b"theirs"), terms=self.TERMS).tx == TX

    def test_renewal(self) -> None:
        order = judged(reused(), terms=self.TERMS, original=[started()])
        assert order.original_tx == EARLIER_TX

    @pytest.mark.parametrize(
        "emitted",
        [[], [started(LOOK_ALIKE)], [started(service_index=1)], [paid_fee()]],
        ids=["nothing", "look-alike", "other index", "fee alone"],
    )
    def test_the_order_is_judged(self, emitted: list[Emitted]) -> None:
        assert refused(*emitted, terms=self.TERMS) == order_rules.NO_ORDER.format(TX)

    def test_somebody_elses(self) -> None:
        terms = replace(self.TERMS, requester=STRANGER)
        assert refused(started(), terms=terms) == order_rules.NOT_THEIRS
