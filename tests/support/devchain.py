"""The development chain for tests: one process a test session, started when first asked for.

It is the program that users start, over its command line. Tests that change the chain in
ways that others could see (going back, setting the clock) do it inside of ``undone``.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils import to_checksum_address

START_S = 180
COMMAND = "from provider.cli.chain import chain_app; chain_app()"


class CallFailed(Exception):
    """The chain refused a call; ``error`` is its error object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.error = error


class DevChain:
    """A running chain. ``accounts`` have Ether and tokens; the last ones are used the least."""

    def __init__(self, process: subprocess.Popen[bytes], told: dict[str, Any]) -> None:
        self.process = process
        self.url: str = told["url"]
        self.engine: str = told["engine"]
        self.chain_id: int = told["chainId"]
        self.address_file = Path(told["addressFile"])
        self.accounts: list[LocalAccount] = [Account.from_key(a["key"]) for a in told["accounts"]]
        networks = json.loads(self.address_file.read_text())
        self.addresses: dict[str, Any] = networks["development"]

    @classmethod
    def start(cls, folder: Path, *options: str) -> DevChain:
        """Start one whose address file lies in ``folder``; returns once it is usable."""
        file = folder / "address.json"
        command = ["dev", "--port", "0", "--address-file", str(file), "--json", *options]
        with (folder / "chain.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *command], stdout=subprocess.PIPE, stderr=log
            )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        line = process.stdout.readline() if ready else b""
        if not line:
            process.kill()
            process.communicate()
            raise RuntimeError(f"no development chain: {(folder / 'chain.log').read_text()}")
        return cls(process, json.loads(line))

    def stop(self) -> int:
        """End it as a user does; its exit code. May be repeated."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        return self.process.returncode

    def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call. Raises CallFailed."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = json.loads(self.post(asked))
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer["result"]

    def post(self, body: Any) -> bytes:
        """Whatever is answered to a body: bytes as they are, all else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(self.url, content, {"Content-Type": "application/json"})
        with urlopen(request, timeout=120) as response:
            return bytes(response.read())

    def send(
        self,
        account: LocalAccount,
        to: str | None,
        data: bytes = b"",
        *,
        value: int = 0,
        gas: int = 5_000_000,
        nonce: int | None = None,
    ) -> str:
        """Sign and send a transaction, whether it will succeed or not; its hash."""
        transaction: dict[str, Any] = {
            "chainId": self.chain_id,
            "nonce": self.nonce(account.address) if nonce is None else nonce,
            "gas": gas,
            "gasPrice": 2 * int(self.call("eth_gasPrice"), 16),
            "value": value,
            "data": "0x" + data.hex(),
        }
        if to is not None:
            transaction["to"] = to_checksum_address(to)
        signed = account.sign_transaction(transaction)
        return str(self.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))

    def nonce(self, address: str) -> int:
        return int(self.call("eth_getTransactionCount", address, "pending"), 16)

    def receipt(self, tx: str) -> dict[str, Any] | None:
        """The receipt as the chain tells it."""
        found: dict[str, Any] | None = self.call("eth_getTransactionReceipt", tx)
        return found

    @property
    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    @property
    def now(self) -> int:
        """The chain's own time."""
        self.mine()
        return int(self.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.call("evm_mine")

    def increase_time(self, seconds: int) -> None:
        """Set the chain's clock forward; the new time is in the block that is made now."""
        self.call("evm_increaseTime", seconds)
        self.mine()

    def snapshot(self) -> str:
        return str(self.call("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        assert self.call("evm_revert", snapshot) is True

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Forget all that happens inside: blocks, transactions, the clock."""
        snapshot = self.snapshot()
        try:
            yield
        finally:
            self.call("evm_setAutomine", True)
            self.revert(snapshot)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let transactions wait inside, until ``mine`` is called or the end."""
        self.call("evm_setAutomine", False)
        try:
            yield
        finally:
            self.call("evm_setAutomine", True)


@pytest.fixture(scope="session")
def devchain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevChain]:
    """The chain that all tests of a session share, of pure Python."""
    chain = DevChain.start(tmp_path_factory.mktemp("devchain"), "--no-anvil")
    yield chain
    chain.stop()
