"""ocean.py, the real client, from publishing to results, on a chain with the real contracts.

Its own library signs, encrypts, orders and downloads; the index of this service is its
metadata cache. See ``ocean_py_session.py`` for what is done, in which order.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from live_market import CONSUMER, COUNT, PUBLISHER, ROWS, Market
from support.service import IMAGE, image_id

PYTHON = Path(os.environ.get("OCEAN_PY", Path(__file__).parents[2] / ".cache/ocean-py/bin/python"))
SESSION = Path(__file__).with_name("ocean_py_session.py")
TAKES_S = 240


async def session(market: Market, folder: Path) -> dict[str, Any]:
    """What ocean.py was told, step by step."""
    folder.mkdir()
    given = {
        "chain": market.chain.url,
        "provider": market.service.url,
        "publisher": "0x" + bytes(market.account(PUBLISHER).key).hex(),
        "consumer": "0x" + bytes(market.account(CONSUMER).key).hex(),
        "data_url": f"{market.origin.url}/rows.csv",
        "algo_url": f"{market.origin.url}/count.sh",
        "image": {"image": IMAGE, "tag": "1", "checksum": image_id()},
        "folder": str(folder),
    }
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        SESSION,
        json.dumps(given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ADDRESS_FILE": str(market.chain.address_file),
        },
        cwd=folder,
    )
    async with asyncio.timeout(TAKES_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-6000:] + market.service.log()[-4000:]
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


@pytest.mark.docker
async def test_a_whole_session(market: Market, tmp_path: Path) -> None:
    told = await session(market, tmp_path / "session")
    _published(told["published"])
    for name in ("free", "paid", "again", "after_expiry"):
        _computed(told[name], name)
    assert told["again"]["orders"] == told["again"]["before"]
    assert "Ordered c2d time was exceeded" not in json.dumps(told["again"])
    renewed = told["after_expiry"]
    assert renewed["refused"]
    assert renewed["orders"][0] != renewed["before"][0]
    assert told["stopped"]["status"]["status"] == 7
    assert list(told["download"].values()) == [ROWS]
    assert COUNT


def _published(told: dict[str, Any]) -> None:
    data, algorithm = told["data"], told["algorithm"]
    assert told["resolved"] == data["id"]
    assert data["id"] in told["search"]
    assert data["nft"]["state"] == 0
    assert data["nft"]["owner"].lower()
    trusted = data["services"][1]["compute"]["publisherTrustedAlgorithms"]
    assert [each["did"] for each in trusted] == [algorithm["id"]]
    assert len(trusted[0]["filesChecksum"]) == 64


def _computed(told: dict[str, Any], name: str) -> None:
    status = told["status"]
    assert (status["status"], status["statusText"]) == (70, "Job completed"), (name, status)
    assert status["dateFinished"]
    assert told["results"]["rows.csv"] == ROWS
    assert json.loads(told["results"]["dids.json"])
    assert told["log"] == ["3\n"]
