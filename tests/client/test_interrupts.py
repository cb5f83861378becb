"""Work that clears up behind itself and is interrupted, also by somebody without patience."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

PROGRAM = """
import asyncio, os, signal, sys
from provider.cli.interrupts import interruptible

async def work():
    try:
        print("begun", flush=True)
        await asyncio.sleep(60)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.05)
        print("cleared", flush=True)

try:
    asyncio.run(interruptible(work(), lambda: print("once more", flush=True)))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def begun(**options: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, **options
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_one_interrupt_ends_it_and_more_do_not_keep_it_from_clearing_up() -> None:
    # Tests may themselves be run in the background of a shell.
    process = begun(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=120)
    assert told.split("\n")[:-1] == ["once more"] * 3 + ["cleared", "interrupted"]
    assert process.returncode == 0


def test_in_the_background_of_a_shell_a_termination_ends_it() -> None:
    """There SIGINT is ignored, and stays so."""
    process = begun(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    os.kill(process.pid, signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=120)
    assert told.split("\n")[:-1] == ["once more", "cleared", "interrupted"]
