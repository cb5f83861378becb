"""The client and the command line against the real service on the real engine."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.service import DATASET, IMAGE, Service

from provider.client import ComputeClient, Dataset, RawAlgorithm

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

SCRIPT = "cat /data/inputs/*/0 > /data/outputs/copy.csv; mkdir /data/outputs/more; echo told\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "algorithm.sh"
    path.write_text(SCRIPT)
    return path


class Cli:
    """The command line as a process, with a wallet of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self._options = ["--url", url, "--key", str(folder / "wallet.key")]
        self.run("key", "new", str(folder / "wallet.key"), connect=False)

    def run(self, *arguments: str, connect: bool = True, code: int = 0) -> str:
        options = self._options if connect else []
        command = [sys.executable, "-m", "provider", *arguments, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code))


def algorithm_options(script: Path, checksum: str) -> list[str]:
    return [
        *("--algorithm", str(script), "--image", IMAGE, "--tag", "1", "--checksum", checksum),
        *("--dataset", f"{DATASET}#compute", "--environment", "test"),
    ]


async def test_the_command_line_does_the_whole_job(
    shared: Service, tmp_path: Path, script: Path, checksum: str
) -> None:
    def story() -> None:
        cli = Cli(shared.url, tmp_path)
        assert "test" in {entry["id"] for entry in cli.json("environments")}
        started = cli.json("start", *algorithm_options(script, checksum), "--follow")
        job_id = started["jobId"]
        assert cli.json("status", job_id)["status"] == 70
        assert cli.run("logs", job_id) == "told\n"
        results = cli.json("results", job_id)
        assert [entry["filename"] for entry in results] == ["copy.csv", "algorithm.log"]
        cli.run("download", job_id, "--to", str(tmp_path / "got"))
        assert (tmp_path / "got" / "copy.csv").read_text() == "a,b\n1,2\n3,4\n"
        cli.run("delete", job_id)
        assert cli.json("status", job_id)["status"] == 8

    await asyncio.to_thread(story)


async def test_exit_codes_say_what_happened(
    shared: Service, tmp_path: Path, script: Path, checksum: str
) -> None:
    def story() -> None:
        cli = Cli(shared.url, tmp_path)
        script.write_text("exit 4")
        failed = cli.json("start", *algorithm_options(script, checksum), "--follow", code=1)
        told = failed["failure"]
        assert (told["reason"], told["whoCanFix"]) == ("exit_code", ["consumer"])
        assert told["evidence"] == "the algorithm ended with exit code 4"
        cli.run("status", "0" * 32, code=4)
        script.write_text("sleep 60")
        job_id = cli.json("start", *algorithm_options(script, checksum))["jobId"]
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        Cli(shared.url, stranger).run("stop", job_id, code=4)
        cli.run("stop", job_id)
        assert cli.json("status", job_id)["status"] == 7
        Cli("http://127.0.0.1:9", tmp_path / "nowhere").run("environments", code=5)

    (tmp_path / "nowhere").mkdir()
    await asyncio.to_thread(story)


@pytest.mark.parametrize("typed", [False, True], ids=["plain", "typed"])
async def test_the_client_does_the_whole_job(
    shared: Service, tmp_path: Path, script: Path, checksum: str, typed: bool
) -> None:
    from eth_account import Account

    algorithm = RawAlgorithm.from_file(script, image=IMAGE, tag="1", checksum=checksum)
    async with ComputeClient(shared.url, Account.create(), typed=typed) as client:
        job = await client.start("test", Dataset(DATASET, "compute"), algorithm)
        numbers = [seen.status async for seen in client.follow(job.id)]
        assert numbers == sorted(numbers)
        assert numbers[-1] == 70
        paths = await client.download_all(job.id, tmp_path / "got")
        assert sorted(path.name for path in paths) == ["algorithm.log", "copy.csv"]
        await client.delete(job.id)
        assert (await client.status(job.id)).status == 8


async def test_typed_signatures_can_be_demanded(
    service: Service, script: Path, checksum: str
) -> None:
    from eth_account import Account

    from provider.client import ComputeClientError

    await service.start(REQUIRE_TYPED_SIGNATURES="true", REQUIRE_SIGNED_STATUS="true")
    algorithm = RawAlgorithm.from_file(script, image=IMAGE, tag="1", checksum=checksum)
    wallet = Account.create()
    async with ComputeClient(service.url, wallet) as client:
        with pytest.raises(ComputeClientError):
            await client.start("test", f"{DATASET}#compute", algorithm)
    async with ComputeClient(service.url, wallet, typed=True) as client:
        job = await client.start("test", Dataset(DATASET, "compute"), algorithm)
        assert (await client.wait(job.id, 60)).status == 70
