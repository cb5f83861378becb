"""What is not even a request: each is the client's mistake and is told so in JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from ocean_consumer import ALICE, COMPUTE, SERVICES, Api

JSON = {"Content-Type": "application/json"}
QUOTE = SERVICES + "initializeCompute"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"not json",
        b"[1, 2]",
        b'"text"',
        b"7",
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' * 50_000 + b"1" + b"}" * 50_000,
        b"\x1f\x8b\x08\x00",
    ],
)
async def test_a_body_that_is_no_sound_json_object_answers_400(api: Api, body: bytes) -> None:
    for path in (COMPUTE, QUOTE):
        status, answer = await api.call("POST", path, data=body, headers=JSON)
        assert status == 400
        assert "error" in answer


async def test_an_oversize_body_answers_413_as_json(api: Api) -> None:
    body = json.dumps({"a": "x" * (1 << 20)})
    for method, path in (("POST", COMPUTE), ("PUT", COMPUTE), ("POST", QUOTE)):
        status, answer = await api.call(method, path, data=BytesIO(body.encode()), headers=JSON)
        assert (status, answer) == (413, {"error": "The request is too large."})


async def test_an_oversize_body_without_length_answers_413(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    status, _ = await api.call("POST", COMPUTE, data=chunks(), headers=JSON)
    assert status == 413


async def test_a_body_of_another_type_holds_no_parameters(api: Api) -> None:
    status, answer = await api.call("POST", COMPUTE, data=json.dumps(api.start_body()))
    assert status == 400
    assert answer["errors"] == {"consumerAddress": ["The consumerAddress field is required."]}


async def test_a_query_hides_the_body(api: Api) -> None:
    status, answer = await api.call(
        "PUT", COMPUTE + "?x=1", json={"consumerAddress": ALICE.address}
    )
    assert status == 400
    assert answer["errors"] == {"consumerAddress": ["The consumerAddress field is required."]}


async def test_a_start_reads_its_body_in_spite_of_a_query(api: Api) -> None:
    status, jobs = await api.call("POST", COMPUTE + "?chainId=8996", json=api.start_body())
    assert (status, len(jobs)) == (200, 1)


async def test_a_get_may_carry_its_parameters_in_a_body(api: Api) -> None:
    job_id = await api.start()
    status, [job] = await api.call("GET", COMPUTE, json={"jobId": job_id})
    assert (status, job["jobId"]) == (200, job_id)


@pytest.mark.parametrize("value", ["%00", "a%00b", "%ff", "%ed%a0%80", "%F0%9F%98%80"])
async def test_odd_bytes_in_a_query_are_harmless(api: Api, value: str) -> None:
    for name in ("jobId", "consumerAddress", "documentId", "signature", "nonce"):
        url = f"{COMPUTE}?consumerAddress=x&{name}={value}"
        status, _ = await api.call("GET", url)
        assert status in {200, 400}


async def test_a_zero_byte_in_a_parameter_is_refused(api: Api) -> None:
    status, answer = await api.call("GET", COMPUTE, params={"jobId": "a\0b"})
    assert status == 400
    assert answer["errors"] == {"jobId": ["The jobId format is invalid."]}


@pytest.mark.parametrize("value", [True, 1.5, ["x"], {"a": 1}])
async def test_parameters_are_texts_or_whole_numbers(api: Api, value: object) -> None:
    status, answer = await api.call("GET", COMPUTE, json={"jobId": value})
    assert status == 400
    assert answer["errors"] == {"jobId": ["The jobId format is invalid."]}


async def test_errors_repeat_nothing_of_the_request(api: Api) -> None:
    body = api.start_body(environment="nowhere", secretNote="hush")
    async with api.client.post(COMPUTE, json=body) as response:
        text = await response.text()
    assert response.status == 400
    assert "hush" not in text
    assert body["signature"] not in text


@pytest.mark.parametrize("host", ["a" * 256, 'a"b', "a b", "a/b", "h\udcff"])
async def test_a_host_that_is_none_answers_400_before_anything_is_done(api: Api, host: str) -> None:
    port = api.client.port
    head = f"GET {COMPUTE}?consumerAddress={ALICE.address} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode("utf-8", "surrogateescape"))
    status = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    await writer.wait_closed()
    assert b" 400 " in status
