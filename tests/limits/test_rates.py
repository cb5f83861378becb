"""How often somebody may ask: a real service behind a proxy that it trusts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from limits.all_dialects import ASKED, sections
from support.consumer import Consumer
from support.service import DATASET, Service

NONCE = "/api/services/nonce"
STATUS = "/api/services/compute"
BEHIND_A_PROXY = {"TRUSTED_PROXIES": "127.0.0.0/8", "OUTPUT_QUOTA": "watch"}
Json = dict[str, Any]


async def get(
    session: aiohttp.ClientSession, url: str, client: str, **options: Any
) -> tuple[int, Json, Mapping[str, str]]:
    """Ask as ``client`` does through the proxy."""
    headers = {"X-Forwarded-For": client} if client else {}
    async with session.get(url, headers=headers, **options) as response:
        body = await response.json(content_type=None)
        return response.status, body, response.headers


async def limited(
    session: aiohttp.ClientSession, url: str, client: str, **options: Any
) -> tuple[Json, Mapping[str, str]]:
    """What who asks too often is told; what he may ask again by now is used up first."""
    for _ in range(20):
        status, body, headers = await get(session, url, client, **options)
        if status == 429:
            return body, headers
    raise AssertionError("is never limited")


def is_limited(
    told: list[int], good: int, *, at_once: int, began: float, rate: float = 0.5
) -> bool:
    """Whether so many requests were answered with ``good``, and of all that followed only as
    many as flowed in since ``began``: none unless the machine is very busy."""
    more = told[at_once:]
    assert told[:at_once] == [good] * at_once, told
    assert set(more) <= {good, 429}, told
    return more.count(good) <= (time.monotonic() - began) * rate


async def test_an_address_that_asks_too_often_is_told_in_the_words_of_each_api(
    service: Service,
) -> None:
    service.dialects(sections(service.root))
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS="0.5")
    async with aiohttp.ClientSession() as session:
        url = service.url
        first = [(await get(session, url + NONCE, "203.0.113.7"))[0] for _ in range(5)]
        assert first == [400] * 5, "a burst of ten seconds' worth, of bad requests as of good ones"
        for path, fields in ASKED.items():
            body, headers = await limited(session, url + path, "203.0.113.7")
            assert set(body) == fields, path
            assert 1 <= int(headers["Retry-After"]) <= 2
            assert headers["X-Request-Id"], str(headers)
            assert "Too many requests" in str(body)
        assert (await get(session, url + NONCE, "203.0.113.8"))[0] == 400, "others do not notice"
        assert await limited(session, url + NONCE, "spoof, 203.0.113.7")
        assert (await get(session, url + "/", ""))[0] == 200, "the machine itself"
        await asyncio.sleep(2.1)
        assert (await get(session, url + NONCE, "203.0.113.7"))[0] == 400
    [line] = [line for line in service.log().splitlines() if "requests_limited" in line]
    assert "by=address client=203.0.113.7" in line


async def test_neighbours_of_ipv6_share_a_limit(service: Service) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS="0.5")
    async with aiohttp.ClientSession() as session:
        began = time.monotonic()
        near = [f"2001:db8:1:2::{number:x}" for number in range(1, 10)]
        told = [(await get(session, service.url + NONCE, each))[0] for each in near]
        assert is_limited(told, 400, at_once=5, began=began)
        assert (await get(session, service.url + NONCE, "2001:db8:1:3::1"))[0] == 400


async def test_who_has_a_whole_region_of_ipv6_is_limited_too(service: Service) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS="0.5")
    async with aiohttp.ClientSession() as session:
        told, began = [], time.monotonic()
        for number in range(60):
            client = f"2001:db8:1:{number:x}::1"
            told.append((await get(session, service.url + NONCE, client))[0])
        assert is_limited(told, 400, at_once=40, began=began, rate=4)
        assert (await get(session, service.url + NONCE, "2001:db8:2:1::1"))[0] == 400


async def test_wrong_signatures_cost_more_than_good_ones(service: Service) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS="10")
    async with Consumer(service.url) as honest, aiohttp.ClientSession() as session:

        def query(signature: str) -> Json:
            nonce = honest.nonce()
            signed = signature or honest.sign(honest.address, DATASET, nonce)
            return {
                "consumerAddress": honest.address,
                "documentId": DATASET,
                "nonce": nonce,
                "signature": signed,
            }

        good = [
            (await get(session, service.url + STATUS, "203.0.113.7", params=query("")))[0]
            for _ in range(30)
        ]
        assert good == [200] * 30
        wrong = honest.sign("something else")
        bad: list[int] = []
        began = time.monotonic()
        while len(bad) < 10 or (bad[-1] != 429 and len(bad) < 60):
            status, body, _ = await get(
                session, service.url + STATUS, "203.0.113.9", params=query(wrong)
            )
            bad.append(status)
            assert status == 429 or "signature" in body["errors"]
        assert bad[0] == 400
        more = (time.monotonic() - began) * 10 / 20
        assert bad.count(400) <= 6 + more, "a hundred would be good ones"
        assert bad[-1] == 429


async def test_a_wallet_that_asks_too_often_wherever_it_is(service: Service) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_WALLET="0.5")
    async with Consumer(service.url) as busy, Consumer(service.url) as other:

        async def ask(who: Consumer, client: str) -> tuple[int, Json, Mapping[str, str]]:
            nonce = who.nonce()
            params = {
                "consumerAddress": who.address,
                "documentId": DATASET,
                "nonce": nonce,
                "signature": who.sign(who.address, DATASET, nonce),
            }
            async with aiohttp.ClientSession() as session:
                return await get(session, service.url + STATUS, client, params=params)

        began = time.monotonic()
        told = [(await ask(busy, f"203.0.113.{number}"))[0] for number in range(1, 7)]
        assert is_limited(told, 200, at_once=5, began=began)
        status = 0
        while status != 429:
            assert len(told) < 30
            status, body, headers = await ask(busy, "203.0.113.99")
            told.append(status)
        assert set(body) == {"error"}
        assert 1 <= int(headers["Retry-After"]) <= 2
        assert (await ask(other, "203.0.113.1"))[0] == 200


async def test_nobody_uses_up_the_limit_of_a_wallet_with_copies_of_what_it_signed(
    service: Service,
) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_WALLET="0.5")
    async with Consumer(service.url) as honest, aiohttp.ClientSession() as session:

        def signed() -> Json:
            nonce = honest.nonce()
            return {
                "consumerAddress": honest.address,
                "documentId": DATASET,
                "nonce": nonce,
                "signature": honest.sign(honest.address, DATASET, nonce),
            }

        async def copies(method: str, params: Json) -> list[int]:
            told = []
            for _ in range(8):
                headers = {"X-Forwarded-For": "203.0.113.66"}
                request = session.request(
                    method, service.url + STATUS, params=params, headers=headers
                )
                async with request as response:
                    told.append(response.status)
            return told

        began = time.monotonic()
        question, wish = signed(), signed()
        assert (await get(session, service.url + STATUS, "203.0.113.7", params=question))[0] == 200
        told = await copies("GET", question)
        assert is_limited(told, 200, at_once=5, began=began), "once counts here, not there"
        assert (await copies("PUT", wish))[1:] == [400] * 7, "its nonce is used up"
        own = [
            (await get(session, service.url + STATUS, "203.0.113.7", params=signed()))[0]
            for _ in range(4)
        ]
        assert is_limited(own, 200, at_once=3, began=began), "two of five were its own before"
    await asyncio.to_thread(service.stop)
    shown = service.command("audit", "show").stdout.splitlines()
    [record] = [line for line in shown if honest.address.lower() in line]
    assert "allowed" in record, "copies do not speak in its name"


async def test_what_leaves_a_record_for_nothing_is_dear(service: Service) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS="10")
    headers = {"X-Forwarded-For": "203.0.113.7"}
    async with aiohttp.ClientSession(headers=headers) as session:
        told: dict[str, list[int]] = {"PUT": [], "DELETE": []}
        began = time.monotonic()
        for method, statuses in told.items():
            for _ in range(9):
                wallet = Consumer(service.url)
                nonce = wallet.nonce()
                params = {
                    "consumerAddress": wallet.address,
                    "documentId": DATASET,
                    "nonce": nonce,
                    "signature": wallet.sign(wallet.address, DATASET, nonce),
                }
                async with session.request(method, service.url + STATUS, params=params) as answer:
                    statuses.append(answer.status)
        assert told["PUT"][:4] == [200] * 4
        more = (time.monotonic() - began) * 10 / 20
        assert (told["PUT"] + told["DELETE"]).count(200) <= 6 + more, "a hundred cheap ones"
        assert 429 in told["DELETE"]


async def test_who_hides_from_the_proxy_is_limited_all_the_same(service: Service) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS="0.5")
    async with aiohttp.ClientSession() as session:

        async def hidden(forwarded: str) -> int:
            headers = {"X-Forwarded-For": "203.0.113.7", "Forwarded": forwarded}
            async with session.get(service.url + NONCE, headers=headers) as response:
                return response.status

        began = time.monotonic()
        told = [await hidden(f"for=198.51.100.{number}") for number in range(8)]
        told.append(await hidden("for=_hidden"))
        assert is_limited(told, 400, at_once=5, began=began)
        assert (await get(session, service.url + NONCE, ""))[0] == 400, "the proxy itself"


async def test_a_wallet_on_this_machine_has_no_limit_unless_a_proxy_brings_it(
    service: Service,
) -> None:
    await service.start(OUTPUT_QUOTA="watch", REQUESTS_PER_WALLET="0.5", REQUESTS_PER_ADDRESS="1")
    async with Consumer(service.url) as local, aiohttp.ClientSession() as session:

        async def ask(client: str) -> int:
            nonce = local.nonce()
            params = {
                "consumerAddress": local.address,
                "documentId": DATASET,
                "nonce": nonce,
                "signature": local.sign(local.address, DATASET, nonce),
            }
            return (await get(session, service.url + STATUS, client, params=params))[0]

        assert [await ask("") for _ in range(30)] == [200] * 30
        assert 429 in [await ask("203.0.113.7") for _ in range(3)], "one may have flowed in"
    [line] = [line for line in service.log().splitlines() if "proxy_not_trusted" in line]
    assert "TRUSTED_PROXIES" in line


async def test_a_trusted_proxy_is_not_complained_of(service: Service) -> None:
    """Not even when the client is on the proxy's own machine, or one that it hides."""
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS="0.1")
    async with aiohttp.ClientSession() as session:
        assert (await get(session, service.url + NONCE, "127.0.0.1"))[0] == 400
        assert [(await get(session, service.url + NONCE, "_hidden"))[0] for _ in range(3)] == [
            400,
            429,
            429,
        ]
    assert "requests_limited" in service.log()
    assert "proxy_not_trusted" not in service.log()


async def test_a_flood_of_refusals_is_few_lines(service: Service) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS="0.1")
    async with aiohttp.ClientSession() as session:
        began = time.monotonic()
        statuses = [(await get(session, service.url + NONCE, "203.0.113.7"))[0] for _ in range(500)]
        assert is_limited(statuses, 400, at_once=1, began=began, rate=0.1)
    assert len(service.log().splitlines()) < 12, service.log()


@pytest.mark.parametrize("rate", ["0"])
async def test_limits_can_be_off(service: Service, rate: str) -> None:
    await service.start(**BEHIND_A_PROXY, REQUESTS_PER_ADDRESS=rate, REQUESTS_PER_WALLET=rate)
    async with aiohttp.ClientSession() as session:
        told = [(await get(session, service.url + NONCE, "203.0.113.7"))[0] for _ in range(50)]
        assert told == [400] * 50
