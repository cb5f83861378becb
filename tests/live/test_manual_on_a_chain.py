"""What the manual shows for chains works as it stands, but for addresses and folders."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest
from live_market import CONSUMER, PUBLISHER, Market

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operators" / "chains.md").read_text()


def example(word: str) -> str:
    """The Python block that holds a word."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return next(block for block in blocks if word in block)


async def run(script: str, folder: Path) -> str:
    """What a script prints."""
    path = folder / "script.py"
    path.write_text(script)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        path,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.docker
async def test_the_publishing_example(market: Market, tmp_path: Path) -> None:
    key = "0x" + bytes(market.account(PUBLISHER).key).hex()
    (tmp_path / "publisher.key").write_text(key)
    shutil.copy(market.chain.address_file, tmp_path / "address.json")
    script = example("AssetDraft(")
    for shown, actual in (
        ("http://127.0.0.1:8030", market.service.url),
        ("http://127.0.0.1:8545", market.chain.url),
        ("https://files.example.org", market.origin.url),
        ("0x9000000000000000000000000000000000000009", market.account(CONSUMER).address),
    ):
        assert shown in script
        script = script.replace(shown, actual)
    printed = await run(script, tmp_path)
    assert re.fullmatch(r"did:op:[0-9a-f]{64}\n", printed)
