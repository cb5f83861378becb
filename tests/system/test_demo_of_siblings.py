"""The demo of the further job APIs as people run it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.examples import ROOT, have_images

pytestmark = pytest.mark.docker

TOLD = (
    "15 lines, 46 entities, as described",
    "upload / finished",
    "optimized  {",
    "SUCCESS, finish",
    "done_flag 1, task_resp with 3 steps",
    "another one was told to end: done_flag 3",
    "No container, mount or job folder is left.",
)


async def test_all_four_stories_are_told_to_their_ends(tmp_path: Path) -> None:
    await asyncio.to_thread(have_images)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo.siblings", "--folder", str(tmp_path / "out")),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    text = (await process.communicate())[0].decode()
    assert process.returncode == 0, text
    assert [words for words in TOLD if words not in text] == [], text
    log = (tmp_path / "out" / "provider.log").read_text()
    assert "Traceback" not in log, log
    assert log.count("reach=loopback") == 4
