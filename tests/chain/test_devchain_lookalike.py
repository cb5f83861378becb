"""The contract that emits what it is told: what it emits reads like the real thing."""

from __future__ import annotations

import time

from support.devchain import DevChain
from support.lookalike import Lookalike, order_started, provider_fee


def test_emits_any_events_in_one_transaction(devchain: DevChain) -> None:
    account = devchain.accounts[-1]
    lookalike = Lookalike(devchain, account)
    now = int(time.time())
    order = order_started(account.address, account.address, service_index=3, timestamp=now)
    fee = provider_fee(
        account.address,
        devchain.addresses["Ocean"],
        amount=5,
        data=b'{"environment": null}' * 20,
        v=27,
        r=b"\x01" * 32,
        s=b"\x02" * 32,
        valid_until=now + 60,
    )

    receipt = devchain.receipt(lookalike.emit(order, fee))

    assert receipt is not None
    assert [log["address"] for log in receipt["logs"]] == [lookalike.address.lower()] * 2
    for log, event in zip(receipt["logs"], [order, fee], strict=True):
        assert log["topics"] == ["0x" + topic.hex() for topic in event.topics]
        assert log["data"] == "0x" + event.data.hex()


def test_answers_everything_with_one_word(devchain: DevChain) -> None:
    lookalike = Lookalike(devchain, devchain.accounts[-1], answer=7)

    answer = devchain.call("eth_call", {"to": lookalike.address, "data": "0x06fdde03"}, "latest")

    assert int(answer, 16) == 7
