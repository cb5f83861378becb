"""What initializeCompute answers where nothing has to be paid."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ocean_consumer import (
    ACCESS,
    ALGORITHM,
    ALICE,
    DATA,
    OPEN,
    PRIVATE,
    SERVICES,
    Api,
)
from start_bodies import PUBLISHED, dataset, raw

QUOTE = SERVICES + "initializeCompute"
NO_ORDER = "0x" + "0" * 64


def quote(**changes: Any) -> dict[str, Any]:
    return {
        "datasets": [dataset()],
        "algorithm": PUBLISHED,
        "compute": {"env": "small", "validUntil": int(time.time()) + 600},
        "consumerAddress": ALICE.address,
        **changes,
    }


async def test_where_nothing_is_paid_every_order_is_good_already(api: Api) -> None:
    order = "0x" + "ab" * 32
    body = quote(datasets=[dataset(transferTxId=order), dataset(ACCESS, "access")])
    assert await api.call("POST", QUOTE, json=body) == (
        200,
        {
            "datasets": [{"validOrder": order}, {"validOrder": NO_ORDER}],
            "algorithm": {"validOrder": NO_ORDER},
        },
    )


async def test_a_raw_algorithm_has_no_order(api: Api) -> None:
    status, body = await api.call(
        "POST", QUOTE, json=quote(datasets=[dataset(OPEN)], algorithm=raw())
    )
    assert (status, body) == (200, {"datasets": [{"validOrder": NO_ORDER}]})


async def test_old_clients_may_ask_in_the_name_of_the_environment(api: Api) -> None:
    address = "0x00000000000000000000000000000000000000C2"
    compute = {"env": "members", "validUntil": str(int(time.time()) + 600)}
    body = quote(consumerAddress=address, compute=compute, datasets=[dataset(PRIVATE)])
    assert (await api.call("POST", QUOTE, json=body))[0] == 200
    body["consumerAddress"] = ALICE.address
    assert (await api.call("POST", QUOTE, json=body))[0] == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"compute": {"env": "x", "validUntil": 9999999999}}, "Compute environment does not exist"),
        ({"compute": {"env": "small", "validUntil": 5}}, "The validUntil value is not correct."),
        ({"algorithm": {**PUBLISHED, "documentId": ACCESS}}, "DID is not a valid algorithm"),
        ({"algorithm": {}}, {"algorithm": "missing_meta_documentId"}),
        ({"algorithm": {"documentId": ALGORITHM}}, {"algorithm.serviceId": "missing"}),
        ({"datasets": [{}]}, {"dataset.documentId": "missing"}),
        ({"datasets": [{"documentId": DATA}]}, {"dataset.serviceId": "missing"}),
        (
            {"datasets": [dataset(), dataset("did:op:x")]},
            {"datasets[1].documentId": "did_not_found"},
        ),
        ({"algorithm": raw()}, {"dataset": "no_raw_algo_allowed"}),
        ({"datasets": ["x"]}, {"additional_input": "invalid"}),
    ],
)
async def test_a_quote_refuses_what_a_start_would(
    api: Api, changes: dict[str, Any], error: object
) -> None:
    assert await api.call("POST", QUOTE, json=quote(**changes)) == (400, {"error": error})


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"datasets": []}, "datasets", "The datasets field is required."),
        ({"datasets": 5}, "datasets", "The datasets format is invalid."),
        ({"compute": {}}, "compute.env", "The compute.env field is required."),
        (
            {"compute": {"env": "small", "validUntil": "later"}},
            "compute.validUntil",
            "The compute.validUntil must be an integer.",
        ),
        ({"consumerAddress": ""}, "consumerAddress", "The consumerAddress field is required."),
    ],
)
async def test_a_quote_has_field_rules(
    api: Api, changes: dict[str, Any], field: str, text: str
) -> None:
    status, answer = await api.call("POST", QUOTE, json=quote(**changes))
    assert status == 400
    assert answer["errors"][field] == [text]
