"""``chain dev`` as a program: how it starts, what it says, how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from anvil_stand_in import install
from eth_account import Account
from support.devchain import COMMAND, DevChain
from support.service import free_port

READY_CPU_S = 8
ENDS_S = 50
"""Less than a server waits for its clients that are still connected."""


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The program, expected to end by itself."""
    command = [sys.executable, "-c", COMMAND, "dev", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


def cpu_seconds(process: int) -> float:
    """What the process has used so far, of its user's and of the system's time."""
    numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, numbers[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list[DevChain]]:
    """Chains that the test starts; they are ended."""
    started: list[DevChain] = []
    yield started
    for chain in started:
        chain.stop()


@pytest.fixture
def own(tmp_path: Path, running: list[DevChain]) -> DevChain:
    running.append(DevChain.start(tmp_path, "--no-anvil", "--accounts", "2"))
    return running[0]


@pytest.fixture
def with_anvil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of Anvil's name on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    install(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_it_is_ready_soon_with_wallets_that_everybody_knows(
    tmp_path: Path, running: list[DevChain]
) -> None:
    chain = DevChain.start(tmp_path, "--no-anvil")
    running.append(chain)

    assert cpu_seconds(chain.process.pid) < READY_CPU_S
    assert chain.engine == "py-evm"
    assert chain.url.startswith("http://127.0.0.1:")
    assert len(chain.accounts) == 10
    assert chain.accounts[0].address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert chain.accounts[9].address == "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_whoever_is_connected(
    own: DevChain, tmp_path: Path, number: signal.Signals
) -> None:
    port = int(own.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        own.process.send_signal(number)
        assert own.process.wait(ENDS_S) == 0
    assert (tmp_path / "chain.log").read_text() == ""
    with pytest.raises(URLError):
        own.call("eth_chainId")


def test_blocks_come_at_intervals(tmp_path: Path, running: list[DevChain]) -> None:
    chain = DevChain.start(tmp_path, "--no-anvil", "--accounts", "1", "--block-time", "0.8")
    running.append(chain)
    for _ in range(50):
        before = chain.height
        tx = chain.send(chain.accounts[0], chain.accounts[0].address)
        found = chain.receipt(tx)
        if chain.height == before:  # else a block that came meanwhile may have it
            break
    assert found is None

    deadline = time.monotonic() + 60
    while chain.height < before + 3 and time.monotonic() < deadline:
        time.sleep(0.05)

    assert chain.height >= before + 3
    assert (chain.receipt(tx) or {})["status"] == "0x1"


def test_a_person_is_told_keys_and_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "address.json"
    words = ["dev", "--port", "0", "--no-anvil", "--accounts", "1", "--address-file", str(file)]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        lines = []
        while not lines or "ready at" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        assert file.exists(), "the file is there before the line"
        process.terminate()
        told = process.stderr.read()
    assert process.returncode == 0
    assert "Never send real money" in told
    address, key = next(line.split() for line in lines if line.startswith("0x"))
    assert Account.from_key(key).address == address
    assert "Chain 8996 is ready at http://127.0.0.1:" in lines[-1]


def test_other_networks_stay_in_the_address_file(tmp_path: Path, running: list[DevChain]) -> None:
    file = tmp_path / "address.json"
    file.write_text(json.dumps({"mainnet": {"chainId": 1}, "development": {"chainId": 8996}}))

    chain = DevChain.start(tmp_path, "--no-anvil", "--accounts", "1")
    running.append(chain)

    networks = json.loads(file.read_text())
    assert networks["mainnet"] == {"chainId": 1}
    assert networks["development"] == chain.addresses
    assert chain.addresses["Router"].startswith("0x")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["address.json", "chain.log"]


def test_a_file_that_is_none_of_addresses_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("buy milk")

    ended = run("--port", "0", "--no-anvil", "--address-file", str(file))

    assert (ended.returncode, ended.stderr) == (2, f"{file} exists and is not an address file\n")
    assert file.read_text() == "buy milk"


def test_others_cannot_reach_it_unless_told(tmp_path: Path, running: list[DevChain]) -> None:
    ended = run("--host", "0.0.0.0", "--port", "0", "--address-file", str(tmp_path / "a.json"))
    assert ended.returncode == 2
    assert "--allow-outside" in ended.stderr
    assert not (tmp_path / "a.json").exists()

    words = ("--no-anvil", "--accounts", "1", "--host", "0.0.0.0", "--allow-outside")
    running.append(DevChain.start(tmp_path, *words))
    assert running[0].url.startswith("http://0.0.0.0:")
    assert running[0].call("eth_chainId") == "0x2324"


def test_it_listens_over_ipv6_too(tmp_path: Path, running: list[DevChain]) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    running.append(DevChain.start(tmp_path, "--no-anvil", "--accounts", "1", "--host", "::1"))
    assert running[0].call("eth_chainId") == "0x2324"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--port", port, "--no-anvil", "--address-file", str(tmp_path / "a.json"))
    assert ended.returncode == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in ended.stderr


def test_anvil_is_wanted_and_not_there(tmp_path: Path) -> None:
    ended = run("--anvil", env={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert ended.returncode == 2
    assert "anvil is not on the path" in ended.stderr


def test_without_its_packages_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = f"import sys; sys.modules['eth.abc'] = None; {COMMAND}"
    ended = subprocess.run(
        [sys.executable, "-c", hidden, "dev"], capture_output=True, text=True, timeout=180
    )
    assert ended.returncode == 2
    assert 'pip install "ocean-compute[devchain]"' in ended.stderr


@pytest.mark.usefixtures("with_anvil")
def test_anvil_is_used_when_it_is_there(tmp_path: Path, running: list[DevChain]) -> None:
    chain = DevChain.start(tmp_path, "--accounts", "3")
    running.append(chain)
    assert (chain.engine, len(chain.call("eth_accounts"))) == ("anvil", 3)
    assert chain.call("eth_getCode", chain.addresses["ERC721Factory"], "latest") != "0x"

    assert chain.stop() == 0
    with pytest.raises(URLError):
        chain.call("eth_chainId")


@pytest.mark.usefixtures("with_anvil")
def test_anvil_is_left_alone_when_not_wanted(own: DevChain) -> None:
    assert own.engine == "py-evm"


@pytest.mark.usefixtures("with_anvil")
def test_an_anvil_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "ends")
    ended = run("--port", "0", "--address-file", str(tmp_path / "a.json"))
    assert (ended.returncode, ended.stderr) == (1, "Anvil ended at once; is the port taken?\n")
    assert not (tmp_path / "a.json").exists()


@pytest.mark.usefixtures("with_anvil")
def test_the_end_of_anvil_is_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: list[DevChain]
) -> None:
    monkeypatch.setenv("STAND_IN", "dies")
    chain = DevChain.start(tmp_path, "--accounts", "1")
    running.append(chain)
    with pytest.raises((OSError, HTTPException)):
        chain.call("eth_getBalance", chain.accounts[0].address, "latest")
    assert chain.process.wait(ENDS_S) == 1
    assert "Anvil ended" in (tmp_path / "chain.log").read_text()


@pytest.mark.usefixtures("with_anvil")
def test_an_anvil_that_never_answers_can_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    monkeypatch.setenv("STAND_IN", "silent")
    monkeypatch.setenv("BEGUN", str(begun))
    words = ["dev", "--port", str(free_port()), "--address-file", str(tmp_path / "a.json")]
    with subprocess.Popen([sys.executable, "-c", COMMAND, *words]) as process:
        end = time.monotonic() + 30
        while not begun.exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.terminate()
        assert process.wait(ENDS_S) == 0


@pytest.mark.usefixtures("with_anvil")
def test_an_anvil_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: list[DevChain]
) -> None:
    monkeypatch.setenv("STAND_IN", "stubborn")
    chain = DevChain.start(tmp_path, "--accounts", "1")
    running.append(chain)
    assert chain.stop() == 0
    with pytest.raises(URLError):
        chain.call("eth_chainId")


@pytest.mark.skipif(shutil.which("anvil") is None, reason="no Anvil on the path")
def test_the_real_anvil(tmp_path: Path, running: list[DevChain]) -> None:
    chain = DevChain.start(tmp_path, "--anvil", "--accounts", "12")
    running.append(chain)
    assert "anvil" in chain.call("web3_clientVersion").lower()
    assert len(chain.accounts) == 12
    assert chain.call("eth_getCode", chain.addresses["Escrow"], "latest") != "0x"
