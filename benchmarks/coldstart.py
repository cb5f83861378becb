"""From starting the process until it answers, against importing the modules it has by then.

The service runs as ``python -m provider serve``, operating jobs itself, and is asked for the
nonce of a wallet, which it reads in its database. The reference is a Python that imports
what such a service has imported when it answers, by statements in the same order, and tells
so: below that no start of this program can come. Which modules those are the interpreter
says itself (``-X importtime``), once, for a service like the one that is measured.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from support.service import PROVIDER, Service

from benchmarks.figures import Figure, alternate
from benchmarks.reference import port_of

GOAL = 1.3
LONGEST_S = 30.0
LOOK_S = 0.002
ASKED = (
    b"GET /api/services/nonce?userAddress=0x00000000000000000000000000000000000000d1 HTTP/1.1\r\n"
    b"Host: bench\r\nConnection: close\r\n\r\n"
)
_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| ( *)(\S+)$", re.MULTILINE)
_TRIED = """
import importlib, sys
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except Exception:
        continue
    print(name)
"""
_IMPORTS = """
import importlib, sys
for name in open(sys.argv[1]).read().split():
    importlib.import_module(name)
print("done", flush=True)
"""


async def cold_starts(folder: Path, rounds: int) -> list[Figure]:
    """A start on a database that is there, and one that makes its database first."""
    service = Service(folder / "service")
    await service.start(LOG_LEVEL="warning")
    service.stop()
    names = folder / "modules"
    names.write_text("\n".join(await _modules(service)))

    async def existing() -> float:
        return await _start(service)

    async def fresh() -> float:
        shutil.rmtree(service.data)
        return await _start(service)

    async def imports() -> float:
        return await _import(names)

    await existing(), await imports()
    warm = await alternate(rounds, existing, imports)
    new = await alternate(rounds, fresh, imports)
    return [
        Figure("cold start to first answer", *_row(warm), GOAL, True),
        Figure("cold start, making the database", *_row(new), None, True),
    ]


async def _start(service: Service) -> float:
    began = time.perf_counter()
    process = service.spawn()
    try:
        await _answer(process, port_of(service))
        return time.perf_counter() - began
    finally:
        _end(process)


async def _answer(process: subprocess.Popen[bytes], port: int) -> None:
    """Returns once there was an answer; fails when the process ends or it takes too long."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            assert process.poll() is None, "the service has ended"
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(LOOK_S)
                continue
            writer.write(ASKED)
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 200"), answer
            return


async def _import(names: Path) -> float:
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _IMPORTS, str(names)), stdout=subprocess.PIPE, env=environ
    )
    assert process.stdout
    assert await process.stdout.readline() == b"done\n"
    elapsed = time.perf_counter() - began
    await process.wait()
    return elapsed


async def _modules(service: Service) -> list[str]:
    """What a service imports until it answers: first what was imported by a statement outside
    of any other import, in order, then the rest, which is there by then."""
    log = service.root / "service.log"
    before = len(log.read_text()) if log.exists() else 0
    service.program = ("-X", "importtime", *PROVIDER)
    process = service.spawn()
    try:
        await _answer(process, port_of(service))
        told = service.log()[before:]
    finally:
        _end(process)
        service.program = PROVIDER
    found = [(len(indent), name) for indent, name in _IMPORTED.findall(told)]
    outer = [name for depth, name in found if not depth]
    assert "provider.serving" in outer, "no imports told"
    inner = [name for depth, name in found if depth]
    tried = subprocess.run(
        [sys.executable, "-c", _TRIED],
        input="\n".join([*outer, *inner]),
        capture_output=True,
        text=True,
        check=True,
    )
    return tried.stdout.split()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(LONGEST_S)


def _row(measured: tuple[float, float, float]) -> tuple[float, float, str, float]:
    figure, reference, ratio = measured
    return figure, reference, "s", ratio
