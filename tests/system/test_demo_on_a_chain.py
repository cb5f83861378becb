"""The demo on a chain as people run it, and the command line paying on the same market."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from eth_account import Account
from support.service import IMAGE, image_id

from demo.forgery import ORDER_STARTED, Node, forge
from demo.market import ENVIRONMENT, Chain, Market
from demo.processes import sweep
from provider.client import (
    AssetDraft,
    ComputeClient,
    Published,
    ServiceDraft,
    publish,
)
from provider.client.onchain import ETHER, OnChain

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
TOLD = (
    "Published: a dataset and an algorithm",
    "500 rows, mean",
    "Nothing to pay.",
    "renewed did:op:",
    "uses the consumer's order: refused",
    "from a contract of her own: refused",
    "The provider has earned",
    "No container, mount or job folder is left.",
)


async def test_the_story_is_told_to_its_end(tmp_path: Path) -> None:
    words = ["-m", "demo.chain", "--image", f"{IMAGE}:1", "--folder", str(tmp_path / "out")]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    text = (await process.communicate())[0].decode()
    assert process.returncode == 0, text
    assert [words for words in TOLD if words not in text] == [], text
    assert text.count("70 Job completed") == 3
    assert '"key"' not in text
    assert sorted(path.name for path in (tmp_path / "out").glob("*.pid")) == []


# A market of the tests' own


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Market, Chain]]:
    folder = tmp_path_factory.mktemp("market")
    market = Market(folder, f"{IMAGE}:1", image_id())
    async with market.chain() as chain, market.open(chain):
        yield market, chain
    assert sweep(folder) == []
    assert "Traceback" not in (folder / "provider.log").read_text()


@pytest.fixture(scope="module")
def key(market: tuple[Market, Chain]) -> Path:
    """The consumer's key file."""
    path = market[0].folder / "consumer.key"
    path.write_text(market[1].wallets[4])
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def published(market: tuple[Market, Chain]) -> list[Published]:
    """Dataset, algorithm, and a file to download; the consumer has two datatokens of each."""
    place, chain = market
    account = Account.from_key(chain.wallets[5])
    consumer = Account.from_key(chain.wallets[4]).address
    wallet = OnChain(chain.url, account, address_file=chain.address_file)
    dataset, algorithm = place.drafts()
    file = dataset.services[0].files[0]
    drafts = [dataset, algorithm, AssetDraft("Rows to take", [ServiceDraft("access", [file])])]
    made = []
    async with ComputeClient(place.url, account) as client:
        for draft in drafts:
            asset = await publish(client, wallet, draft, url=place.url)
            await wallet.mint(asset.datatokens[0], consumer, 2 * ETHER)
            await client.wait_for_asset(asset.did, asset.tx)
            made.append(asset)
    return made


async def cli(market: tuple[Market, Chain], key: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command line that pays on the market's chain."""
    place, chain = market
    environ = {
        "OCEAN_COMPUTE_URL": place.url,
        "OCEAN_COMPUTE_KEY": str(key),
        "OCEAN_COMPUTE_RPC": chain.url,
        "ADDRESS_FILE": str(chain.address_file),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "provider", *words),
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_job_is_paid_by_the_command_line(
    market: tuple[Market, Chain], key: Path, published: list[Published], tmp_path: Path
) -> None:
    dataset, algorithm, _ = published
    words = ("start", "-e", ENVIRONMENT, "-d", dataset.did, "-a", algorithm.did)
    code, out, err = await cli(market, key, *words, "--duration", "120", "--max-fee", "5")
    assert (code, out) == (1, ""), err
    assert "(1.2 whole tokens) in fees; at most 5 " in err
    assert "Nothing was ordered." in err
    paying = ("--duration", "120", "--max-fee", str(2 * ETHER), "--download", str(tmp_path))
    code, out, err = await cli(market, key, *words, *paying, "--json")
    assert code == 0, err
    assert json.loads((tmp_path / "summary.json").read_text())["rows"] == 500
    orders = {
        line.split()[1].split("#")[0]: line.split()[2].rstrip(",")
        for line in err.splitlines()
        if line.startswith("Ordered ")
    }
    assert list(orders) == [dataset.did, algorithm.did]
    given = [word for did, tx in orders.items() for word in ("--order", f"{did}={tx}")]
    code, out, err = await cli(market, key, *words, *given, "--duration", "60", "--follow")
    assert code == 0, err
    assert "Ordered" not in err
    assert "Renewed" not in err


async def test_a_file_is_bought_and_downloaded(
    market: tuple[Market, Chain], key: Path, published: list[Published], tmp_path: Path
) -> None:
    asset = published[2]
    code, out, err = await cli(market, key, "asset-info", asset.did, "--checksum")
    assert code == 0, err
    assert f"datatoken\t{asset.datatokens[0]}" in out
    code, out, err = await cli(market, key, "asset-download", asset.did, "--to", f"{tmp_path}/")
    assert (code, out) == (0, f"{tmp_path}/rows.csv\n"), err
    assert (tmp_path / "rows.csv").read_text().startswith("1,1\n2,4\n")
    tx = err.split()[-1]
    words = ("asset-download", asset.did, "--to", f"{tmp_path}/again.csv", "--order", tx)
    code, out, err = await cli(market, key, *words)
    assert code == 0, err
    assert "Ordered" not in err


async def test_a_forged_order_looks_like_the_genuine_one(
    market: tuple[Market, Chain], published: list[Published]
) -> None:
    """Else its refusal in the demo would prove nothing."""
    _, chain = market
    consumer, forger = (Account.from_key(chain.wallets[index]) for index in (4, 6))
    asset = published[2]
    async with ComputeClient(market[0].url, consumer) as client, ClientSession() as session:
        wallet = OnChain(chain.url, consumer, address_file=chain.address_file)
        genuine = str((await client.order_access(asset.did, pay=wallet)).transfer_tx_id)
        node = Node(chain.url, session)
        forged = await forge(node, forger, genuine, asset.datatokens[0])
        real = [
            log
            for log in await node.logs_of(genuine)
            if log["address"].lower() == asset.datatokens[0].lower()
        ]
        fake = await node.logs_of(forged)
    assert [log["topics"][0] for log in fake] == [log["topics"][0] for log in real]
    assert {log["address"] for log in fake}.isdisjoint({log["address"] for log in real})
    mine, theirs = (forger.address[2:].lower(), consumer.address[2:].lower())
    for made, copied in zip(fake, real, strict=True):
        if made["topics"][0] == ORDER_STARTED:
            assert made["topics"][1].endswith(mine)
            assert made["data"][:66].endswith(mine)
            assert made["data"][66:] == copied["data"][66:]
            assert copied["topics"][1].endswith(theirs)
        else:
            assert (made["topics"], made["data"]) == (copied["topics"], copied["data"])
