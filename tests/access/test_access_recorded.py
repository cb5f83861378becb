"""Files and documents that go out are in the audit log, once each; what is refused is not as if
it had gone out."""

from __future__ import annotations

import json
from typing import Any

from access_world import ALICE, CHAIN_ID, DID, NFT, World
from test_decrypt import body, publish

from provider.auditing.reading import opened


async def recorded(world: World) -> list[dict[str, Any]]:
    async with opened(f"sqlite:///{world.folder}/access.db") as log:
        return [json.loads(record.body) async for record in log.all()]


async def test_a_document_that_was_opened(world: World) -> None:
    tx = publish(world)
    asked = body(world, tx=tx)
    status, _ = await world.call("POST", "decrypt", json=asked)
    assert status == 201
    status, _ = await world.call("POST", "decrypt", json=asked)
    assert status == 400
    [record] = await recorded(world)
    assert (record["kind"], record["actor"]) == ("decrypt", ALICE.address.lower())
    assert record["details"] == {"by": "signature", "chain": CHAIN_ID, "nft": NFT}
    assert asked["signature"].removeprefix("0x") not in json.dumps(record)


async def test_a_file_that_went_out(world: World) -> None:
    url = world.origin.serve("/rows.csv", b"1,2\n")
    world.add_url(url)
    order = await world.order()
    query = world.download_query(order=order)
    status, content = await world.download(query)
    assert (status, content) == (200, b"1,2\n")
    status, _ = await world.download(query)
    assert status == 400
    [record] = await recorded(world)
    assert (record["kind"], record["actor"]) == ("download", ALICE.address.lower())
    assert record["details"]["dids"] == [DID]
    assert record["details"]["order"] == order
    assert record["details"]["index"] == 0
    assert url not in json.dumps(record)


async def test_what_only_looks_leaves_no_record(world: World) -> None:
    world.add_url(world.origin.serve("/rows.csv", b"1,2\n"))
    query = world.download_query(order=await world.order())
    status, _ = await world.call("HEAD", "download", params=query)
    assert status == 200
    assert await recorded(world) == []
