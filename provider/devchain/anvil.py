"""Anvil in place of the chain of this package: faster, with more ways to steer it.

It is a child process that ends with this one. Its wallets are the same, as they come from
the same recovery phrase.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from typing import Any
from urllib.request import Request, urlopen

from provider import bounded_json
from provider.devchain.errors import RpcError
from provider.devchain.ocean import Ask
from provider.devchain.wallets import PHRASE

START_S = 20.0
_STOP_S = 2.0
_POLL_S = 0.05
_ANSWER_S = 60.0
_MAX_ANSWER_BYTES = 32 << 20


class AnvilFailed(Exception):
    """Anvil ended, or did not answer in time."""


def anvil_path() -> str | None:
    """Where the program is, None when it is not on the path."""
    return shutil.which("anvil")


class Anvil:
    """A running Anvil at ``url``. Use ``start``, then ``stop``."""

    def __init__(self, process: Process, url: str) -> None:
        self.url = url
        self._process = process

    @classmethod
    async def start(
        cls,
        program: str,
        host: str,
        port: int,
        *,
        chain_id: int,
        accounts: int,
        block_time_s: float,
    ) -> Anvil:
        """Start it and wait until it answers. Raises AnvilFailed."""
        options = {
            "--host": host,
            "--port": str(port),
            "--chain-id": str(chain_id),
            "--accounts": str(accounts),
            "--balance": "1000000",
            "--mnemonic": PHRASE,
        }
        if block_time_s:
            options["--block-time"] = f"{block_time_s:g}"
        words = [word for pair in options.items() for word in pair]
        process = await asyncio.create_subprocess_exec(
            program, *words, "--silent", stdin=DEVNULL, stdout=DEVNULL
        )
        anvil = cls(process, f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        try:
            await anvil._answers(chain_id)
        except BaseException:
            await anvil.stop()
            raise
        return anvil

    async def _answers(self, chain_id: int) -> None:
        """Wait until the chain says its id."""
        call = blocking_ask(self.url)
        for _ in range(int(START_S / _POLL_S)):
            if self._process.returncode is not None:
                raise AnvilFailed("Anvil ended at once; is the port taken?")
            with contextlib.suppress(OSError, ValueError, RpcError):
                if int(await asyncio.to_thread(call, "eth_chainId", []), 16) == chain_id:
                    return
            await asyncio.sleep(_POLL_S)
        raise AnvilFailed("Anvil does not answer")

    async def ended(self) -> None:
        """Raise AnvilFailed when it ends by itself."""
        await self._process.wait()
        raise AnvilFailed("Anvil ended")

    async def stop(self) -> None:
        """End it; may be repeated."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def blocking_ask(url: str) -> Ask:
    """Calls over HTTP. They raise RpcError for a refusal, OSError and ValueError for faults."""

    def ask(method: str, params: Sequence[Any]) -> Any:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        headers = {"Content-Type": "application/json"}
        request = Request(url, json.dumps(call).encode(), headers)  # noqa: S310
        with urlopen(request, timeout=_ANSWER_S) as response:  # noqa: S310
            answer = bounded_json.loads(response.read(_MAX_ANSWER_BYTES))
        if not isinstance(answer, dict):
            raise ValueError("not an answer")  # noqa: TRY004
        if isinstance(answer.get("error"), dict):
            raise RpcError(-32000, str(answer["error"].get("message", "refused")))
        return answer.get("result")

    return ask
