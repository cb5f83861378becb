"""Queries for much: at most a few at a time, in answers that have an end."""

from __future__ import annotations

import asyncio
from typing import cast

from aquarius_documents import World, compact, document
from standin_cache import Client, Serve

from provider.assets.index import AssetIndex
from provider.assets.index.asset_index import Found
from provider.assets.index.models import Query
from provider.dialects.aquarius.routes import QUERIES_AT_ONCE

QUERY = "/api/aquarius/assets/query"


class SlowIndex:
    """Finds nothing, slowly; notes how many ask at once."""

    def __init__(self) -> None:
        self.asking = self.most = 0

    async def search(self, query: Query) -> Found:
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(0.01)
        self.asking -= 1
        return Found(0, ())


async def test_few_queries_are_answered_at_once(serve: Serve) -> None:
    slow = SlowIndex()
    client = await serve(cast(AssetIndex, slow))
    answers = await asyncio.gather(*(client.post(QUERY, json={}) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert slow.most == QUERIES_AT_ONCE


async def test_a_query_for_large_documents_tells_their_number_and_some(
    client: Client, index: AssetIndex, world: World
) -> None:
    for number in range(12):
        nft = f"0x{number + 1:040x}"
        world.publish(compact(document(nft, padding="é" * 230_000), escaped=False), nft, flags=1)
    assert await index.catch_up()
    async with client.post(QUERY, json={"size": 100}) as answer:
        hits = (await answer.json())["hits"]
    assert hits["total"]["value"] == 12
    assert 0 < len(hits["hits"]) < 12
    assert hits["hits"][0]["_source"]["padding"] == "é" * 230_000
