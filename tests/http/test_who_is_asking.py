"""Signatures, nonces and tokens: everything that decides who is asking."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ocean_consumer import ALICE, BOB, COMPUTE, DATA, RESULT, SERVICES, Api, Serve, sign

from provider.auth.tokens import PURPOSE, Tokens
from provider.auth.typed import TypedRequest
from provider.keys import ProviderKey

PROVIDER = ProviderKey(b"\x11" * 32)
MISSING = ["Invalid signature provided. Please check the nonce or documentId."]


async def refused(api: Api, body: dict[str, Any], **options: Any) -> Any:
    """What a start with this body is refused with; nothing may be left of it."""
    status, answer = await api.call("POST", COMPUTE, json=body, **options)
    assert status == 400, answer
    _, jobs = await api.call("GET", COMPUTE, params={"consumerAddress": ALICE.address})
    assert jobs == []
    return answer["errors"]


async def test_a_signature_of_another_wallet_is_refused(api: Api) -> None:
    body = api.start_body()
    body["signature"] = sign(BOB, f"{ALICE.address}{DATA}{body['nonce']}")
    errors = await refused(api, body)
    assert ALICE.address in errors["signature"]
    assert BOB.address.lower() not in errors["signature"].lower()
    assert body["signature"] not in errors["signature"]


async def test_a_signature_over_another_text_is_refused_and_the_right_one_named(api: Api) -> None:
    body = api.start_body()
    body["signature"] = sign(ALICE, f"{ALICE.address}did:op:other{body['nonce']}")
    errors = await refused(api, body)
    assert "consumerAddress + jobId + documentId + nonce" in errors["signature"]


@pytest.mark.parametrize(
    "signature", ["0x", "0x00", "zz" * 65, "0x" + "00" * 65, "0x" + "11" * 64 + "1d", "x" * 9000]
)
async def test_a_malformed_signature_is_refused(api: Api, signature: str) -> None:
    errors = await refused(api, api.start_body(signature=signature))
    assert errors["signature"].startswith("Invalid signature")


async def test_no_signature_at_all_answers_in_list_form(api: Api) -> None:
    body = api.start_body()
    del body["signature"]
    assert await refused(api, body) == {"signature": MISSING}
    assert await refused(api, {**body, "signature": ""}) == {"signature": MISSING}


async def test_both_spellings_of_v_and_hex_are_taken(api: Api) -> None:
    for change in (0, 27):
        for prefix in ("0x", ""):
            body = api.start_body()
            raw = bytes.fromhex(body["signature"][2:])
            body["signature"] = prefix + raw[:64].hex() + f"{raw[64] - 27 + change:02x}"
            assert (await api.call("POST", COMPUTE, json=body))[0] == 200


async def test_the_casing_of_the_address_is_part_of_the_text_but_not_of_the_wallet(
    api: Api,
) -> None:
    lower = ALICE.address.lower()
    job_id = await api.start(consumerAddress=lower)
    assert (await api.status(job_id))["owner"] == lower
    query = api.job_query(ALICE, job_id)
    assert (await api.call("PUT", COMPUTE, params=query))[0] == 200


async def test_a_nonce_as_number_and_as_text_is_the_same(api: Api) -> None:
    await api.start(nonce=7)
    errors = (await api.call("POST", COMPUTE, json=api.start_body(nonce="7")))[1]["errors"]
    assert "expected nonce (7) > current nonce (7)" in errors["signature"]


@pytest.mark.parametrize("nonce", [4, 5, "5"])
async def test_a_nonce_that_is_not_greater_is_refused(api: Api, nonce: Any) -> None:
    await api.start(nonce=5)
    status, answer = await api.call("POST", COMPUTE, json=api.start_body(nonce=nonce))
    assert status == 400
    text = f"Invalid signature expected nonce (5) > current nonce ({nonce})."
    assert answer["errors"]["signature"].startswith(text)


async def test_a_replayed_request_is_refused_in_any_casing(api: Api) -> None:
    body = api.start_body()
    assert (await api.call("POST", COMPUTE, json=body))[0] == 200
    for address in (ALICE.address, ALICE.address.lower(), "0x" + ALICE.address[2:].upper()):
        again = api.start_body(consumerAddress=address, nonce=body["nonce"])
        assert (await api.call("POST", COMPUTE, json=again))[0] == 400


@pytest.mark.parametrize(
    "nonce",
    ["abc", "1e30", "0x10", "-5", -5, "1.0", " 5", "5 ", "05", "٣", 0, "0", 10**30, "9" * 300],
)
async def test_a_nonce_that_is_no_positive_number_or_absurd_is_refused(
    api: Api, nonce: Any
) -> None:
    errors = await refused(api, api.start_body(nonce=nonce))
    assert list(errors) == ["nonce"]


async def test_nonces_may_be_nanoseconds_but_not_days_ahead(api: Api) -> None:
    now = time.time_ns()
    await api.start(nonce=now)
    errors = (await api.call("POST", COMPUTE, json=api.start_body(nonce=now + 3 * 86400 * 10**9)))[
        1
    ]["errors"]
    assert "too far ahead" in errors["nonce"][0]


async def test_fifty_copies_of_one_start_make_one_job(api: Api) -> None:
    body = api.start_body()
    answers = await asyncio.gather(*(api.call("POST", COMPUTE, json=body) for _ in range(50)))
    statuses = sorted(status for status, _ in answers)
    assert statuses == [200] + [400] * 49
    _, jobs = await api.call("GET", COMPUTE, params={"consumerAddress": ALICE.address})
    assert len(jobs) == 1


async def test_a_refused_start_does_not_use_up_its_nonce(api: Api) -> None:
    body = api.start_body(algorithm={"documentId": "did:op:none", "serviceId": "x"})
    assert (await api.call("POST", COMPUTE, json=body))[0] == 400
    await api.start(nonce=body["nonce"])


@pytest.mark.parametrize("address", ["", "0x12", "alice", None, 7])
async def test_the_address_ends_the_checks_when_it_is_none(api: Api, address: Any) -> None:
    body = {**api.start_body(), "consumerAddress": address, "nonce": "x"}
    errors = await refused(api, body)
    assert list(errors) == ["consumerAddress"]


# Tokens


async def token_of(api: Api, key: ProviderKey = ALICE, seconds: int = 600, **changes: Any) -> Any:
    nonce = api.nonce(key)
    params = {
        "address": key.address,
        "expiration": str(int(time.time()) + seconds),
        "nonce": str(nonce),
        "signature": sign(key, f"{key.address}{nonce}"),
        **changes,
    }
    return await api.call("GET", SERVICES + "createAuthToken", params=params)


async def delete_token(api: Api, token: str, key: ProviderKey = ALICE) -> Any:
    nonce = api.nonce(key)
    params = {
        "address": key.address,
        "token": token,
        "nonce": str(nonce),
        "signature": sign(key, f"{key.address}{nonce}"),
    }
    return await api.call("DELETE", SERVICES + "deleteAuthToken", params=params)


async def test_a_token_stands_in_for_a_signature(api: Api) -> None:
    status, body = await token_of(api)
    assert status == 200
    headers = {"AuthToken": body["token"]}
    start = api.start_body()
    del start["signature"]
    status, [job] = await api.call("POST", COMPUTE, json=start, headers=headers)
    assert status == 200
    await api.finished(job["jobId"])
    query = api.result_query(ALICE, job["jobId"], 1)
    del query["signature"]
    assert (await api.call("GET", RESULT, params=query, headers=headers))[0] == 200
    assert (await api.call("GET", RESULT, params=query, headers=headers))[0] == 400


async def test_a_token_of_another_wallet_or_of_nobody_is_refused(api: Api) -> None:
    _, body = await token_of(api, BOB)
    start = api.start_body()
    del start["signature"]
    for token in (body["token"], "x.y.z", body["token"] + "x"):
        assert await refused(api, start, headers={"AuthToken": token}) == {"signature": MISSING}


async def test_a_signature_counts_before_a_token(api: Api) -> None:
    _, body = await token_of(api)
    start = api.start_body(signature="0x00")
    errors = await refused(api, start, headers={"AuthToken": body["token"]})
    assert isinstance(errors["signature"], str)


async def test_a_deleted_token_stays_deleted(api: Api) -> None:
    expiration = str(int(time.time()) + 600)
    _, body = await token_of(api, expiration=expiration)
    assert await delete_token(api, body["token"]) == (
        200,
        {"success": "Token has been deactivated."},
    )
    assert await delete_token(api, body["token"]) == (400, {"error": "Token is deleted."})
    _, again = await token_of(api, expiration=expiration)
    start = api.start_body()
    del start["signature"]
    old, new = {"AuthToken": body["token"]}, {"AuthToken": again["token"]}
    assert (await api.call("POST", COMPUTE, json=start, headers=old))[0] == 400
    assert (await api.call("POST", COMPUTE, json=start, headers=new))[0] == 200


async def test_a_deleted_token_is_remembered_as_long_as_it_could_live_under_any_bound(
    folder: Path, serve: Serve
) -> None:
    api = await serve(TOKEN_MAX_AGE="3600")
    tokens = Tokens(PROVIDER.derive(PURPOSE), 86_400)
    ends = int(time.time()) + 80_000
    token = tokens.issue(ALICE.address, ends, time.time())
    assert (await delete_token(api, token))[0] == 200
    with closing(sqlite3.connect(folder / "data" / "ocean-compute.db")) as database:
        assert database.execute("SELECT expires_at FROM revoked_tokens").fetchall() == [(ends,)]


async def test_only_its_wallet_may_delete_a_token(api: Api) -> None:
    _, body = await token_of(api)
    assert await delete_token(api, body["token"], BOB) == (400, {"error": "Token is invalid."})
    assert await delete_token(api, "nonsense") == (400, {"error": "Token is invalid."})


async def test_a_tokens_request_cannot_be_replayed(api: Api) -> None:
    fixed: dict[str, Any] = {"nonce": "9", "signature": sign(ALICE, f"{ALICE.address}9")}
    assert (await token_of(api, **fixed))[0] == 200
    assert (await token_of(api, **fixed))[0] == 400


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("expiration", "1", "Invalid timestamp provided."),
        ("expiration", "soon", "The expiration must be an integer."),
        ("expiration", "", "The expiration field is required."),
        ("expiration", "9" * 17, "The expiration may be at most 2592000 seconds ahead."),
        ("address", "", "The address field is required."),
        ("nonce", "", "The nonce field is required."),
        ("signature", "", "The signature field is required."),
    ],
)
async def test_a_token_is_asked_for_properly(api: Api, field: str, value: str, text: str) -> None:
    changes: dict[str, Any] = {field: value}
    status, body = await token_of(api, **changes)
    assert (status, body["errors"]) == (400, {field: [text]})


# The stricter form


def typed(key: ProviderKey, operation: str, values: dict[str, Any]) -> dict[str, Any]:
    request = TypedRequest(
        key.address,
        operation,
        str(values.get("jobId", "")),
        values,
        int(values["nonce"]),
        int(values["expiry"]),
    )
    return {**values, "signature": key.sign_digest(request.digest(PROVIDER.address, None))}


def typed_start(api: Api, **changes: Any) -> dict[str, Any]:
    body = {**api.start_body(), "expiry": int(time.time()) + 60, **changes}
    del body["signature"]
    return body


async def test_typed_data_is_taken_beside_the_plain_text(api: Api) -> None:
    body = typed(ALICE, "computeStart", typed_start(api))
    status, [job] = await api.call("POST", COMPUTE, json=body)
    assert status == 200
    query = {
        "consumerAddress": ALICE.address,
        "jobId": job["jobId"],
        "nonce": str(api.nonce(ALICE)),
        "expiry": str(int(time.time()) + 60),
    }
    assert (await api.call("PUT", COMPUTE, params=typed(ALICE, "computeStop", query)))[0] == 200


async def test_typed_data_binds_operation_body_and_time(api: Api) -> None:
    values = typed_start(api)
    other_operation = typed(ALICE, "computeStop", values)
    other_body = {**typed(ALICE, "computeStart", values), "environment": "members"}
    too_late = typed(ALICE, "computeStart", {**values, "expiry": int(time.time()) - 1})
    for body in (other_operation, other_body, too_late):
        assert "signature" in await refused(api, body)


async def test_typed_data_can_be_demanded(serve: Serve) -> None:
    api = await serve(REQUIRE_TYPED_SIGNATURES="true")
    errors = await refused(api, api.start_body())
    assert "EIP-712" in errors["signature"]
    body = typed(ALICE, "computeStart", typed_start(api))
    assert (await api.call("POST", COMPUTE, json=body))[0] == 200
