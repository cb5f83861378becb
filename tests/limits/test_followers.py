"""Places of those who follow logs: shared out when there are not enough."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from support.consumer import Consumer
from support.service import DATASET, IMAGE, Service, image_id

from provider.errors import TooManyFollowers
from provider.followers import Followers, Place

LOGS = "/api/services/computeStreamableLogs"
WAITS = {
    "meta": {
        "rawcode": "sleep 50",
        "container": {
            "image": IMAGE,
            "tag": "1",
            "entrypoint": "sh $ALGO",
            "checksum": image_id(),
        },
    }
}


class Room:
    """Followers who stay."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self.followers = Followers(most, most_of_one)
        self.stack = AsyncExitStack()

    def enter(self, wallet: str, address: str = "") -> Place:
        return self.stack.enter_context(self.followers.enter(wallet, address))


def test_a_newcomer_gets_a_place_of_the_address_that_has_most() -> None:
    room = Room(4, 4)
    greedy = [room.enter(f"w{number}", "198.51.100.1") for number in range(4)]
    first = room.enter("honest", "203.0.113.7")
    assert sum(each.lost for each in greedy) == 1
    second = room.enter("other", "203.0.113.8")
    assert sum(each.lost for each in greedy) == 2
    assert not first.lost
    assert not second.lost
    with pytest.raises(TooManyFollowers):
        room.enter("w9", "198.51.100.1")
    with pytest.raises(TooManyFollowers):
        room.enter("honest", "203.0.113.7")
    assert room.followers.inside() == 4


def test_at_one_address_the_wallet_with_most_gives_way() -> None:
    room = Room(4, 4)
    greedy = [room.enter("greedy", "203.0.113.7") for _ in range(4)]
    honest = [room.enter("honest", "203.0.113.7") for _ in range(2)]
    assert [each.lost for each in greedy] == [False, False, True, True]
    for wallet in ("honest", "greedy"):
        with pytest.raises(TooManyFollowers):
            room.enter(wallet, "203.0.113.7")
    assert not any(each.lost for each in honest)


def test_neighbours_of_ipv6_are_one_address() -> None:
    room = Room(2, 2)
    near = [room.enter(f"w{number}", f"2001:db8:1:{number}::1") for number in range(2)]
    room.enter("honest", "2001:db8:2:1::1")
    assert sum(each.lost for each in near) == 1


async def test_who_has_left_leaves_one_place_and_not_two() -> None:
    room = Room(2, 2)
    gone = Room(0, 0)
    gone.followers = room.followers
    gone.enter("w", "198.51.100.1")
    room.enter("w", "198.51.100.1")
    room.enter("honest", "203.0.113.7")
    await gone.stack.aclose()
    assert room.followers.inside() == 1
    await room.stack.aclose()
    assert room.followers.inside() == 0


async def test_a_stranger_with_many_wallets_shuts_nobody_out(service: Service) -> None:
    service.environments({"maxJobs": 1})
    await service.start(OUTPUT_QUOTA="watch", TRUSTED_PROXIES="127.0.0.0/8")
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )

        async def wallet() -> tuple[Consumer, str]:
            consumer = await stack.enter_async_context(Consumer(service.url))
            body = consumer.start_body(WAITS, [DATASET], "test")
            [job] = await consumer.call("POST", "/api/services/compute", json=body)
            return consumer, job["jobId"]

        async def follow(consumer: Consumer, job: str, client: str) -> aiohttp.ClientResponse:
            nonce = consumer.nonce()
            params: dict[str, Any] = {
                "consumerAddress": consumer.address,
                "jobId": job,
                "nonce": nonce,
                "signature": consumer.sign(consumer.address, job, nonce),
            }
            headers = {"X-Forwarded-For": client}
            return await session.get(service.url + LOGS, params=params, headers=headers)

        many = [await wallet() for _ in range(8)]
        greedy = [await follow(*each, "198.51.100.1") for each in many for _ in range(8)]
        assert {each.status for each in greedy} == {200}
        honest = await wallet()
        answer = await follow(*honest, "203.0.113.7")
        assert answer.status == 200, await answer.text()
        assert (await follow(*many[0], "198.51.100.1")).status == 429, "who lost one"
        cut = [asyncio.create_task(each.read()) for each in greedy]
        async with asyncio.timeout(60):
            done, others = await asyncio.wait(cut, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        with pytest.raises(aiohttp.ClientPayloadError):
            done.pop().result()
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    assert "cause=place_lost" in service.log()
