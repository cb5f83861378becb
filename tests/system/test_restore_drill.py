"""The restore drill: a running service is backed up, its database is lost, and comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.consumer import Consumer, Json, Refused, raw
from support.postgres import PostgresServer
from support.service import DATASET, Service

pytestmark = pytest.mark.docker

COPY = "cat /data/inputs/*/0 > /data/outputs/rows; echo told"


class Sqlite:
    """The file in the data folder."""

    def __init__(self, service: Service) -> None:
        self._file = service.data / "ocean-compute.db"
        self.environ: dict[str, str] = {}

    def lose(self) -> None:
        for name in ("", "-wal", "-shm"):
            Path(f"{self._file}{name}").unlink(missing_ok=True)


class Postgresql:
    """A database on the tests' server, which gets a new one of the same name."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._url = server.fresh()
        self.environ = {"DATABASE_URL": self._url}

    def lose(self) -> None:
        self._server.drop(self._url)
        self._server.run(f"CREATE DATABASE {self._url.rpartition('/')[2]}")

    def end(self) -> None:
        self._server.drop(self._url)


@pytest.fixture(params=["sqlite", "postgresql"])
def lost(request: pytest.FixtureRequest, service: Service) -> Iterator[Sqlite | Postgresql]:
    if request.param == "sqlite":
        yield Sqlite(service)
        return
    database = Postgresql(request.getfixturevalue("postgres_server"))
    yield database
    service.stop()
    database.end()


async def test_a_lost_database_comes_back_from_its_backup(
    service: Service, lost: Sqlite | Postgresql, tmp_path: Path, checksum: str
) -> None:
    service.environments({})
    await service.start(**lost.environ)
    file = str(tmp_path / "backup")
    async with Consumer(service.url) as consumer:
        finished: list[Json] = []
        for code in (COPY, "exit 3"):
            job = await consumer.start(raw(code, checksum=checksum), [DATASET])
            finished.append(await consumer.follow(job["jobId"]))
        used = consumer.result_params(finished[0]["jobId"], 0)
        first = await consumer.fetch("/api/services/computeResult", used)
        made = service.command("db", "backup", file, "--json")
        assert made.returncode == 0, made.stderr
        assert json.loads(made.stdout)["rows"] > 0
        in_use = service.command("db", "restore", file, "--force")
        assert in_use.returncode == 2
        assert "in use" in in_use.stderr

        service.kill()
        lost.lose()
        restored = service.command("db", "restore", file)
        assert restored.returncode == 0, restored.stderr
        again = service.command("db", "restore", file)
        assert again.returncode == 2
        assert "--force" in again.stderr
        await service.restart()

        for before in finished:
            assert await consumer.status(before["jobId"]) == before
        assert [job["status"] for job in finished] == [70, 41]
        with pytest.raises(Refused) as replayed:
            await consumer.fetch("/api/services/computeResult", used)
        assert replayed.value.status == 400
        assert "expected nonce" in str(replayed.value)
        assert await consumer.result(finished[0]["jobId"], 0) == first
        job = await consumer.start(raw(COPY, checksum=checksum), [DATASET])
        assert (await consumer.follow(job["jobId"]))["status"] == 70
        sound = service.command("audit", "verify")
        assert sound.returncode == 0, sound.stdout + sound.stderr
    service.stop()
    assert service.leftovers() == []
    for done in (made, in_use, restored, again):
        for secret in lost.environ.values():
            assert secret not in done.stdout + done.stderr


async def test_mistakes_with_files_are_told(service: Service, tmp_path: Path) -> None:
    service.environments({})
    await service.start()
    service.stop()
    there = tmp_path / "there"
    there.write_text("a letter")
    for words, reason in (
        (("backup", str(there)), "there already"),
        (("backup", str(tmp_path / "no/such/folder")), "No such file"),
        (("restore", str(tmp_path / "nowhere")), "No such file"),
        (("restore", str(there), "--force"), "no backup"),
    ):
        done = service.command("db", *words)
        assert done.returncode == 1
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
    upgraded = service.command("db", "upgrade")
    assert upgraded.returncode == 0
    assert "c00" in upgraded.stdout
