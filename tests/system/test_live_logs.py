"""Logs as jobs print them: the real service, engine and command line."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from eth_account import Account
from support.consumer import Consumer, raw
from support.engine_proxy import EngineProxy
from support.service import DATASET, Service
from support.tcp_gate import TcpGate

from provider.client import ComputeClient, LogOutgrownError, NotFoundError

pytestmark = [pytest.mark.docker, pytest.mark.asyncio]

LOGS = "/api/services/computeStreamableLogs"
ENVIRONMENTS: list[dict[str, Any]] = [{}, {"id": "tiny", "maxLogMB": 1}]

MIXED = r"""
head -c 200000 /dev/urandom
i=0
while [ $i -lt 12 ]; do
  echo "out $i"; echo "err $i" >&2; i=$((i+1)); sleep 0.3
done
printf 'no end of line'
"""
"""Bytes that are no text, both streams, a last line without its end."""

SLOW = "i=0; while [ $i -lt {n} ]; do echo line $i; i=$((i+1)); sleep {pause}; done; printf end"


def lines(n: int) -> bytes:
    return b"".join(b"line %d\n" % i for i in range(n)) + b"end"


@pytest_asyncio.fixture
async def ready(service: Service, checksum: str) -> AsyncIterator[Service]:
    service.environments(*ENVIRONMENTS)
    await service.start()
    yield service
    log = service.log()
    assert "Traceback" not in log, log


@dataclass(frozen=True)
class Running:
    """The command line at work, and what it has printed."""

    process: subprocess.Popen[bytes]
    out: Path

    async def printed(self, count: int) -> None:
        """Wait until it has printed so many bytes."""
        await until(lambda: self.out.stat().st_size >= count)

    async def ended(self) -> tuple[int, bytes, bytes]:
        """Exit code, output, messages."""
        _, messages = await asyncio.to_thread(self.process.communicate, timeout=180)
        return self.process.returncode, self.out.read_bytes(), messages


class Wallet:
    """A consumer of plain HTTP, our client and the command line, with one key."""

    def __init__(self, url: str, folder: Path) -> None:
        self.account = Account.create()
        self.key = folder / f"{self.account.address}.key"
        self.key.write_text(self.account.key.hex())
        self.key.chmod(0o600)
        self.url = url
        self.consumer = Consumer(url, self.account)

    def client(self, url: str = "") -> ComputeClient:
        return ComputeClient(url or self.url, self.account)

    def cli(self, *arguments: str, url: str = "") -> Running:
        command = [sys.executable, "-m", "provider", "logs", *arguments]
        options = ["--url", url or self.url, "--key", str(self.key)]
        path = self.key.with_name(f"{uuid4().hex}.out")
        with path.open("wb") as out:
            process = subprocess.Popen([*command, *options], stdout=out, stderr=subprocess.PIPE)
        return Running(process, path)

    async def start(self, script: str, checksum: str, environment: str = "test") -> str:
        job = await self.consumer.start(raw(script, checksum=checksum), [DATASET], environment)
        return str(job["jobId"])

    async def stored(self, job_id: str) -> bytes:
        job = await self.consumer.follow(job_id)
        [index] = [one["index"] for one in job["results"] if one["type"] == "algorithmLog"]
        return await self.consumer.result(job_id, index)

    def question(self, job_id: str, **more: str) -> dict[str, str]:
        nonce, address = self.consumer.nonce(), self.consumer.address
        signature = self.consumer.sign(address, nonce, "getComputeStreamableLogs")
        signed = {"consumerAddress": address, "nonce": nonce, "signature": signature}
        return {"jobId": job_id, **signed, **more}


@pytest_asyncio.fixture
async def wallet(ready: Service, tmp_path: Path) -> AsyncIterator[Wallet]:
    wallet = Wallet(ready.url, tmp_path)
    async with wallet.consumer:
        yield wallet


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.02)


async def followed(client: ComputeClient, job_id: str, offset: int = 0) -> bytes:
    return b"".join([piece async for piece in client.log_stream(job_id, offset=offset)])


async def test_a_follower_gets_the_stored_log_byte_for_byte(wallet: Wallet, checksum: str) -> None:
    job_id = await wallet.start(MIXED, checksum)
    process = wallet.cli(job_id, "--follow")
    consumer = wallet.consumer
    params = wallet.question(job_id)
    first: float | None = None
    plain = bytearray()
    async with aiohttp.ClientSession() as session:
        async with session.get(wallet.url + LOGS, params=params) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "application/octet-stream"
            async for piece in response.content.iter_any():
                first = first or time.monotonic()
                plain += piece
        over = time.monotonic()
    stored = await wallet.stored(job_id)
    assert first is not None
    assert over - first > 1.0, "came only at the end"
    assert bytes(plain) == stored
    assert stored.endswith(b"no end of line")
    assert len(stored) > 200_000
    code, out, err = await process.ended()
    assert (code, out == stored) == (0, True), err
    for offset in (0, 1, 7, len(stored) // 2, len(stored) - 1, len(stored)):
        code, out, err = await wallet.cli(job_id, "--offset", str(offset)).ended()
        assert (code, out == stored[offset:]) == (0, True), err
    code, out, err = await wallet.cli(job_id, "--offset", str(len(stored) + 1)).ended()
    assert (code, out) == (4, b""), err
    assert (await consumer.status(job_id))["status"] == 70


async def test_a_failed_job_is_told_by_the_exit_code(wallet: Wallet, checksum: str) -> None:
    job_id = await wallet.start("echo oh; exit 3", checksum)
    code, out, _ = await wallet.cli(job_id, "-f").ended()
    assert (code, out) == (1, b"oh\n")


async def test_from_any_byte_on_while_the_job_runs(wallet: Wallet, checksum: str) -> None:
    job_id = await wallet.start(SLOW.format(n=30, pause=0.1), checksum)
    whole = lines(30)
    async with wallet.client() as client:
        begun = [piece async for piece in client.log_stream(job_id, follow=False)]
        offsets = (0, 1, 6, 7, 8, 50, len(whole) - 1, len(whole))
        parts = await asyncio.gather(*(followed(client, job_id, offset) for offset in offsets))
        assert [*parts] == [whole[offset:] for offset in offsets]
    assert whole.startswith(b"".join(begun))
    assert await wallet.stored(job_id) == whole


async def test_a_follower_outlives_the_service(
    ready: Service, wallet: Wallet, checksum: str
) -> None:
    job_id = await wallet.start(SLOW.format(n=60, pause=0.1), checksum)
    process = wallet.cli(job_id, "--follow")
    await process.printed(60)
    ready.kill()
    await asyncio.sleep(0.5)
    await ready.restart()
    code, out, err = await process.ended()
    assert (code, out) == (0, lines(60)), err
    assert await wallet.stored(job_id) == lines(60)


async def test_sigterm_ends_followers_at_once(
    ready: Service, wallet: Wallet, checksum: str
) -> None:
    job_id = await wallet.start("echo here; sleep 50", checksum)
    async with (
        aiohttp.ClientSession() as session,
        session.get(ready.url + LOGS, params=wallet.question(job_id)) as response,
    ):
        assert await response.content.readline() == b"here\n"
        began = time.monotonic()
        assert await asyncio.to_thread(ready.stop) == 0
        assert time.monotonic() - began < 25
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    await ready.restart()
    await wallet.consumer.delete(job_id)


async def test_the_connection_may_break(wallet: Wallet, checksum: str) -> None:
    async with TcpGate(wallet.url) as gate:
        job_id = await wallet.start(SLOW.format(n=50, pause=0.1), checksum)
        process = wallet.cli(job_id, "--follow", url=gate.url)
        await process.printed(40)
        for _ in range(2):
            await gate.shut()
            await asyncio.sleep(0.3)
            await gate.open()
            await asyncio.sleep(1)
        code, out, err = await process.ended()
    assert (code, out) == (0, lines(50)), err


async def test_the_engine_may_be_away(service: Service, checksum: str, tmp_path: Path) -> None:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    service.environments(*ENVIRONMENTS)
    await service.start(DOCKER_HOST=proxy.url)
    wallet = Wallet(service.url, tmp_path)
    async with wallet.consumer, wallet.client() as client:
        job_id = await wallet.start(SLOW.format(n=50, pause=0.1), checksum)
        task = asyncio.create_task(followed(client, job_id))
        await wallet.consumer.follow(job_id, {40})
        await asyncio.sleep(1)
        await proxy.cut()
        await asyncio.sleep(1)
        await proxy.open()
        assert await task == lines(50)
    await asyncio.to_thread(service.stop)
    await proxy.cut()
    assert "Traceback" not in service.log()


async def test_a_large_log_across_the_engines_files(wallet: Wallet, checksum: str) -> None:
    # Twice as large as the first of the engine's two files, not as large as both.
    script = (
        "i=0; while [ $i -lt 40 ]; do dd if=/data/inputs/*/0 2>/dev/null;"
        " head -c 300000 /dev/zero | tr '\\0' x | fold -w 1000; echo $i >&2; sleep 0.05;"
        " i=$((i+1)); done"
    )
    job_id = await wallet.start(script, checksum)
    async with wallet.client() as client:
        whole = asyncio.create_task(followed(client, job_id))
        later = asyncio.create_task(followed(client, job_id, 5_000_000))
        got, rest = await whole, await later
    stored = await wallet.stored(job_id)
    assert len(stored) > 12_000_000
    assert got == stored
    assert rest == stored[5_000_000:]


async def test_a_flood_is_never_shown_wrong(wallet: Wallet, checksum: str) -> None:
    script = "yes 'this is the line' | head -c 100m; echo; echo last"
    job_id = await wallet.start(script, checksum, "tiny")
    got = bytearray()
    async with wallet.client() as client:
        refused = ""
        try:
            async for piece in client.log_stream(job_id):
                got += piece
        except LogOutgrownError as error:
            refused = str(error)
        assert "outgrown" in refused
        await wallet.consumer.stop(job_id)
        stored = await wallet.stored(job_id)
        assert 0 < len(stored) <= 1 << 20
        assert got.replace(b"this is the line\n", b"") in (
            b"",
            b"this is the line\n"[: len(got) % 17],
        )
        with pytest.raises(LogOutgrownError):
            await followed(client, job_id, 17)
        assert await followed(client, job_id) == stored


async def test_a_log_that_outgrows_its_bound_slowly_is_followed_to_the_end(
    wallet: Wallet, checksum: str
) -> None:
    """All of it arrives. That it was all cannot always be confirmed: the container, and with
    it the engine's log, may be gone before the follower looks once more."""
    each = "seq $((i*500)) $((i*500+499)); sleep 0.3; i=$((i+1))"
    script = f"i=0; while [ $i -lt 40 ]; do {each}; done; sleep 4"
    job_id = await wallet.start(script, checksum, "tiny")
    async with wallet.client() as client:
        got = b""
        with contextlib.suppress(LogOutgrownError):
            async for piece in client.log_stream(job_id):
                got += piece
        stored = await wallet.stored(job_id)
        assert got == b"".join(b"%d\n" % i for i in range(20_000))
        assert len(stored) < len(got)
        assert got.endswith(stored)
        with pytest.raises(LogOutgrownError):
            await followed(client, job_id, 1000)


async def test_nobody_else_sees_it(ready: Service, wallet: Wallet, checksum: str) -> None:
    job_id = await wallet.start("echo mine; sleep 50", checksum)
    await wallet.consumer.follow(job_id, {40})
    async with ComputeClient(ready.url, Account.create()) as stranger:
        with pytest.raises(NotFoundError):
            await followed(stranger, job_id)
    said = b""
    async with asyncio.timeout(60):
        while not said:
            question = wallet.question(job_id, follow="false")
            said = await wallet.consumer.fetch(LOGS, question)
    assert said == b"mine\n"
    async with aiohttp.ClientSession() as session:
        for params, status in [
            (question, 400),
            (wallet.question(job_id) | {"consumerAddress": Account.create().address}, 400),
            (wallet.question("0" * 32), 404),
            (wallet.question(job_id, stage="nothing"), 404),
            (wallet.question(job_id, offset="-1"), 400),
            (wallet.question(job_id, follow="perhaps"), 400),
            ({"jobId": job_id, "consumerAddress": wallet.consumer.address, "nonce": "1"}, 400),
        ]:
            async with session.get(ready.url + LOGS, params=params) as response:
                assert response.status == status, await response.text()
    await wallet.consumer.delete(job_id)


async def test_places_are_bounded_and_free_again_at_once(
    ready: Service, wallet: Wallet, checksum: str
) -> None:
    job_id = await wallet.start("echo here; sleep 50", checksum)

    def threads() -> int:
        return len(list(Path(f"/proc/{ready.pid}/task").iterdir()))

    await wallet.consumer.follow(job_id, {40})
    async with aiohttp.ClientSession() as session:
        before = threads()
        opened = []
        for _ in range(8):
            response = await session.get(ready.url + LOGS, params=wallet.question(job_id))
            assert await response.content.readline() == b"here\n"
            opened.append(response)
        assert threads() >= before + 8
        async with session.get(ready.url + LOGS, params=wallet.question(job_id)) as response:
            assert response.status == 429
            assert "8 logs are being followed by this wallet" in await response.text()
        for response in opened:
            response.close()
        await until(lambda: threads() < before + 4)
        async with session.get(ready.url + LOGS, params=wallet.question(job_id)) as response:
            assert response.status == 200
    await wallet.consumer.delete(job_id)


async def test_a_deleted_job_ends_its_followers(wallet: Wallet, checksum: str) -> None:
    job_id = await wallet.start("echo here; sleep 50", checksum)
    async with wallet.client() as client:
        stream = client.log_stream(job_id)
        assert await anext(stream) == b"here\n"
        await wallet.consumer.delete(job_id)
        rest = []
        # It may have seen the orderly end of the container, or only that the job is gone.
        with contextlib.suppress(NotFoundError):
            async with asyncio.timeout(90):
                rest = [piece async for piece in stream]
        assert rest == []
        with pytest.raises(NotFoundError):
            await followed(client, job_id)
