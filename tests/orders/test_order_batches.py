"""Several orders in one transaction: whose counts, with which fee, and what it is called."""

from __future__ import annotations

from dataclasses import replace

from order_samples import (
    ALGORITHM_TOKEN,
    CHAIN_ID,
    DATATOKEN,
    EARLIER_TX,
    NOW,
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
from provider.chain.order_rules import judge


class TestSeveralInOneTransaction:
    def test_each_datatoken_by_its_own_events(self) -> None:
        algorithm_fee = quote(datatoken=ALGORITHM_TOKEN, service_id="algo")
        logs = [
            started(ALGORITHM_TOKEN),
            started(),
            paid_fee(ALGORITHM_TOKEN, algorithm_fee),
            paid_fee(),
        ]
        first = judged(*logs)
        second = judged(*logs, terms=order_terms(datatoken=ALGORITHM_TOKEN, service_id="algo"))
        assert first.tx == second.tx == TX
        assert first.name != second.name

    def test_one_datatokens_order_with_anothers_fee(self) -> None:
        """The fee of a dear item is not that of a cheap one, though both are in one receipt."""
        logs = [started(), paid_fee(ALGORITHM_TOKEN, quote()), started(ALGORITHM_TOKEN)]
        assert refused(*logs) == order_rules.NO_FEE.format(TX)

    def test_one_datatokens_fee_with_anothers_order(self) -> None:
        logs = [paid_fee(), started(ALGORITHM_TOKEN)]
        assert refused(*logs) == order_rules.NO_FEE.format(TX)

    def test_two_services_of_one_datatoken(self) -> None:
        compute = quote(service_id="compute")
        logs = [
            started(service_index=1, timestamp=NOW - 7),
            paid_fee(fee=compute),
            started(service_index=0),
            paid_fee(),
        ]
        first = judged(*logs)
        second = judged(*logs, terms=order_terms(service_id="compute", service_index=1))
        assert (first.ordered_at, second.ordered_at) == (NOW, NOW - 7)
        assert first.name != second.name

    def test_fees_stay_with_their_order(self) -> None:
        """The fee for one service, paid with an order of another one."""
        logs = [
            started(service_index=1),
            paid_fee(),
            started(service_index=0),
            paid_fee(fee=quote(service_id="compute")),
        ]
        assert refused(*logs) == order_rules.NO_ORDER.format(TX)

    def test_last_of_the_same_service_counts(self) -> None:
        dear = quote(amount=90)
        order = judged(started(), paid_fee(fee=quote()), started(), paid_fee(fee=dear))
        assert order.fee is not None
        assert order.fee.amount == 90

    def test_order_of_logs_is_that_of_the_chain(self) -> None:
        logs = [started(), paid_fee(fee=quote(amount=1)), started(), paid_fee(fee=quote(amount=2))]
        good = receipt(*logs)
        shuffled = replace(good, logs=tuple(reversed(good.logs)))
        order = judge(order_terms(), shuffled, None)
        assert order.fee is not None
        assert order.fee.amount == 2

    def test_paid_time_and_order_are_not_mixed(self) -> None:
        """A fee that nobody can use any more is not mended by one beside it."""
        logs = [
            started(),
            paid_fee(),
            started(),
            paid_fee(fee=quote(valid_until=NOW - 1)),
        ]
        assert refused(*logs) == order_rules.FEE_EXPIRED

    def test_order_and_renewal_together(self) -> None:
        """The renewal came last, so it is judged, with the order that it names."""
        logs = [started(timestamp=NOW - 9), paid_fee(), reused(), paid_fee()]
        assert judged(*logs, original=[started(timestamp=NOW - 500)]).ordered_at == NOW - 500
        assert refused(*logs) == order_rules.ORIGINAL_FAILED

    def test_each_customer_of_an_aggregator_has_their_own(self) -> None:
        logs = [
            started(payer=POD, consumer=USER),
            paid_fee(fee=quote(amount=1)),
            started(payer=POD, consumer=STRANGER),
            paid_fee(fee=quote(amount=2)),
        ]
        first = judged(*logs, sender=POD)
        second = judged(*logs, sender=POD, terms=order_terms(requester=STRANGER))
        assert (first.consumer, second.consumer) == (USER, STRANGER)
        assert (first.fee and first.fee.amount, second.fee and second.fee.amount) == (1, 2)
        assert first.name != second.name
        assert first.fee_name != second.fee_name
        nobody = order_terms(requester=ALGORITHM_TOKEN)
        assert refused(*logs, sender=POD, terms=nobody) == order_rules.NOT_THEIRS

    def test_sender_has_the_last(self) -> None:
        logs = [started(timestamp=NOW - 1), paid_fee(), started(payer=POD), paid_fee()]
        assert judged(*logs, sender=USER).ordered_at == NOW

    def test_a_renewal_may_be_theirs_where_an_order_is_not(self) -> None:
        logs = [reused(caller=POD), paid_fee(), started(payer=POD), paid_fee()]
        order = judged(*logs, sender=POD, original=[started()])
        assert order.original_tx == EARLIER_TX

    def test_two_orders_of_one_service_have_two_names(self) -> None:
        logs = [started(payer=POD, consumer=USER), paid_fee()]
        names = judged(*logs, sender=POD).name, judged(*logs, *logs, sender=POD).name
        assert names == (f"{CHAIN_ID}:{TX}:0", f"{CHAIN_ID}:{TX}:2")


class TestName:
    def test_stays_whatever_the_publisher_changes(self) -> None:
        names = {
            judged(
                reused(),
                paid_fee(fee=quote(service_id=name)),
                original=[started(service_index=2), paid_fee(data=b"")],
                terms=order_terms(service_id=name, service_index=2, datatoken=spelt),
            ).name
            for name in ("access", "renamed")
            for spelt in (DATATOKEN, "0x" + DATATOKEN[2:].upper())
        }
        assert names == {f"{CHAIN_ID}:{EARLIER_TX}:0"}

    def test_stays_in_another_block(self) -> None:
        """After a reorganisation the transaction stands behind others in its block."""
        good = receipt(paid_fee(ALGORITHM_TOKEN), started(), paid_fee())
        moved = tuple(replace(log, index=log.index + 40) for log in reversed(good.logs))
        for each in (good, replace(good, logs=moved)):
            order = judge(order_terms(), each, None)
            assert order.name == f"{CHAIN_ID}:{TX}:1"
            assert order.fee_name == f"fee:{CHAIN_ID}:{TX}:2"
