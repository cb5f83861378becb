"""Running a tool of the operating system to its end.

Started from a thread: there the interpreter borrows its memory to the child for the moment
(vfork), while the event loop would copy the page tables of the whole service each time.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from compute.errors import VolumeFailed

log = logging.getLogger(__name__)

_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_TOOL_S = 60.0
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="tool")
"""Of their own: a tool may take minutes, and others must not wait for a thread meanwhile."""


async def run(
    tool: str,
    *arguments: str,
    accept: frozenset[int] = frozenset({0}),
    timeout_s: float = _TOOL_S,
) -> None:
    """Run it without a shell. Killed when the caller is cancelled. Raises VolumeFailed where it
    is missing, takes longer than ``timeout_s`` or ends with a code that is not to ``accept``."""
    path = shutil.which(tool, path=_PATH)
    if path is None:
        raise VolumeFailed(f"{tool} is not installed on this machine")
    process = _Process((path, *arguments))
    running = asyncio.get_running_loop().run_in_executor(_THREADS, process.run, timeout_s)
    try:
        code, errors = await asyncio.shield(running)
    except asyncio.CancelledError:
        process.give_up()
        await asyncio.wait({running})
        raise
    except subprocess.TimeoutExpired as error:
        raise VolumeFailed(f"{tool} took longer than {timeout_s:.0f} s") from error
    if code not in accept:
        words = errors.decode(errors="replace").strip()
        log.error("tool_failed tool=%s code=%s words=%r", tool, code, words)
        raise VolumeFailed(f"{tool} failed with code {code}")


class _Process:
    """One run, which any thread may give up at any time."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._lock = threading.Lock()
        self._given_up = False
        self._started: subprocess.Popen[bytes] | None = None

    def run(self, timeout_s: float) -> tuple[int, bytes]:
        """Its exit code and what it wrote to its standard error. Blocking. Raises
        TimeoutExpired."""
        with self._lock:
            if self._given_up:
                return -1, b""
            self._started = process = subprocess.Popen(  # noqa: S603 - no shell, our own words
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PATH": _PATH, "LC_ALL": "C"},
            )
        with process:
            try:
                _, errors = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, errors

    def give_up(self) -> None:
        """Kill it, or keep it from starting."""
        with self._lock:
            self._given_up = True
            if self._started is not None:
                self._started.kill()
