"""Whose processor time it was."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from benchmarks.model.busy import spent

BURN = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass\n"
TICKS = 0.05


async def test_time_of_this_process_of_the_service_and_of_its_children_is_told_apart() -> None:
    """A service that works itself, starts somebody and sees the end of that."""
    code = f"{BURN}import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\n"
    code = f"input()\n{code}\nprint('done', flush=True)\ninput()\n"
    service = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert service.stdin
    assert service.stdout
    own = 0.0

    async def work() -> None:
        nonlocal own
        service.stdin.write(b"\n")
        service.stdin.flush()
        assert await asyncio.to_thread(service.stdout.readline) == b"done\n"
        began = time.process_time()
        while time.process_time() - began < 0.2:
            pass
        own = time.process_time() - began

    try:
        used = await spent(work, service.pid)
    finally:
        service.communicate(b"\n")
    assert used.client >= own - TICKS
    assert 0.4 - TICKS <= used.service < 2.0
    assert 0.4 - TICKS <= used.children < 2.0
