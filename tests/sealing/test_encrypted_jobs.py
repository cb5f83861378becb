"""Encrypted results from the start to the opened file: the real service, engine, command line."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import by_the_page
import pytest
import pytest_asyncio
from aiohttp import ClientSession, TraceConfig
from click.testing import Result as Told
from eth_account import Account
from eth_account.signers.local import LocalAccount
from support.consumer import Consumer, Refused, raw
from support.service import DATASET, IMAGE, Service, engine
from typer.testing import CliRunner

from compute.layout import container_name
from provider.cli.commands import app
from provider.client import ComputeClient, Opening, RawAlgorithm, RefusedError
from provider.client.wallet import Call, Domain, Wallet

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

START = "/api/services/compute"
PAGE = Path(__file__).parents[2] / "docs" / "encryption.md"
SCRIPT = """
needle="needle-$(({a} * {b}))"
echo "$needle"
echo "$needle" >&2
mkdir /data/outputs/sub
echo "$needle" > /data/outputs/a.txt
i=0; while [ $i -lt 40000 ]; do echo "$needle"; i=$((i+1)); done > /data/outputs/sub/b.txt
: > /data/outputs/empty
echo "$needle" > /data/logs/own.txt
while [ ! -e /tmp/go ]; do sleep 0.1; done
exit {code}
"""
LARGE = "head -c 30000000 /dev/zero | tr '\\0' 'n' > /data/outputs/large; echo over"


@dataclass
class Sealed:
    """An encrypted job that is over, its owner, and the text that was never to be stored."""

    service: Service
    owner: LocalAccount
    key: Path
    needle: str
    job: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.job["jobId"])

    def expected(self) -> dict[str, bytes]:
        line = f"{self.needle}\n".encode()
        return {
            "a.txt": line,
            "sub/b.txt": line * 40000,
            "empty": b"",
            "own.txt": line,
            "algorithm.log": line * 2,
        }

    async def cli(self, *words: str) -> Told:
        return await command(self.service, self.key, *words)


async def command(service: Service, key: Path, *words: str) -> Told:
    """A command of the consumer's. It makes an event loop of its own, so it has a thread."""
    environ = {"OCEAN_COMPUTE_URL": service.url, "OCEAN_COMPUTE_KEY": str(key)}
    return await asyncio.to_thread(CliRunner().invoke, app, list(words), env=environ)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    service = Service(tmp_path_factory.mktemp("sealing") / "service")
    service.environments({}, {"id": "wide", "diskGB": 0.2})
    await service.start()
    yield service
    service.stop()
    leftovers, log = service.leftovers(), service.log()
    service.sweep()
    assert not leftovers, log
    assert "Traceback" not in log, log


def kept_key(account: LocalAccount, folder: Path) -> Path:
    path = folder / f"{account.address}.key"
    path.write_text(account.key.hex())
    return path


def where(needle: str, *folders: Path) -> list[str]:
    """All files on disk in which the text can be read. A file may go meanwhile."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                if path.is_file() and needle.encode() in path.read_bytes():
                    found.append(str(path))
            except FileNotFoundError:
                continue
    return found


def places(service: Service) -> tuple[Path, Path]:
    """Where the service and the engine keep what they have."""
    with engine() as client:
        return service.data, Path(client.info()["DockerRootDir"]) / "containers"


async def run(
    service: Service, owner: LocalAccount, checksum: str, code: int, folder: Path
) -> Sealed:
    """A job that is let go once its text was found on disk, so that the search is one."""
    a, b = secrets.randbits(28), secrets.randbits(28)
    needle = f"needle-{a * b}"
    async with Consumer(service.url, owner) as consumer:
        algorithm = raw(SCRIPT.format(a=a, b=b, code=code), checksum=checksum)
        body = consumer.start_body(algorithm, [DATASET], "test")
        body["encryptTo"] = by_the_page.public_key(bytes(owner.key))[1]
        [job] = await consumer.call("POST", START, json=body)
        async with asyncio.timeout(150):
            while len(clear := where(needle, *places(service))) < 4:
                await asyncio.sleep(0.2)
        assert any("containers" in path for path in clear), clear
        await refuses_logs(service, owner, job["jobId"])
        with engine() as client:
            name = container_name(job["jobId"])
            client.exec_start(client.exec_create(name, ["touch", "/tmp/go"])["Id"])
        job = await consumer.follow(job["jobId"])
    return Sealed(service, owner, kept_key(owner, folder), needle, job)


async def refuses_logs(service: Service, owner: LocalAccount, job_id: str) -> None:
    async with ComputeClient(service.url, owner) as client:
        for follow in (False, True):
            with pytest.raises(RefusedError, match="encrypted") as refused:
                async with aclosing(client.log_stream(job_id, follow=follow)) as pieces:
                    await anext(pieces)
            assert refused.value.status == 409


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def done(service: Service, checksum: str, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return await run(service, Account.create(), checksum, 0, tmp_path_factory.mktemp("owner"))


async def test_the_job_tells_that_and_to_whom_it_is_encrypted(done: Sealed) -> None:
    assert done.job["status"] == 70
    compressed, _ = by_the_page.public_key(bytes(done.owner.key))
    assert done.job["encryptTo"] == f"0x{compressed}"
    assert all(entry["encrypted"] is True for entry in done.job["results"])
    names = {entry["filename"] for entry in done.job["results"]}
    assert names == {f"{name}.sealed" for name in done.expected()}
    shown = done.service.command("audit", "show", "--job", done.id, "--json").stdout
    [start] = [record for record in json.loads(shown) if record["kind"] == "start"]
    assert start["details"]["encryptTo"] == done.job["encryptTo"]


async def test_what_the_algorithm_wrote_and_printed_is_nowhere_on_disk(done: Sealed) -> None:
    assert where(done.needle, *places(done.service)) == []
    assert not done.service.leftovers()
    assert done.needle not in done.service.log()


async def test_any_client_gets_it_and_who_has_read_the_page_opens_it(done: Sealed) -> None:
    async with Consumer(done.service.url, done.owner) as consumer:
        files = await consumer.files(done.job)
    clear = {}
    for entry in done.job["results"]:
        sealed = files[entry["filename"]]
        assert len(sealed) == entry["filesize"]
        assert hashlib.sha256(sealed).hexdigest() == entry["sha256"]
        read = by_the_page.read(sealed, bytes(done.owner.key))
        assert (read.job_id, read.index) == (done.id, entry["index"])
        clear[entry["filename"].removesuffix(".sealed")] = read.clear
    assert clear == done.expected()


async def test_logs_say_what_to_do_when_the_job_is_over_too(done: Sealed) -> None:
    await refuses_logs(done.service, done.owner, done.id)
    told = await done.cli("logs", done.id)
    assert told.exit_code == 1
    assert "download them and open them with the private key" in told.stderr


async def test_a_download_opens_all_results(done: Sealed, tmp_path: Path) -> None:
    folder = tmp_path / "got"
    told = await done.cli("download", done.id, "--decrypt", "--to", str(folder), "--json")
    assert told.exit_code == 0, told.stderr
    paths = [Path(text) for text in json.loads(told.stdout)]
    assert {str(path.relative_to(folder)): path.read_bytes() for path in paths} == done.expected()
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(paths)
    again = await done.cli("download", done.id, "--decrypt", "--to", str(folder), "--keep-sealed")
    assert again.exit_code == 0, again.stderr
    (folder / "a.txt").unlink()
    alone = await done.cli("decrypt", str(folder / "a.txt.sealed"))
    assert alone.stdout == f"{folder}/a.txt\n", alone.stderr
    assert (folder / "a.txt").read_bytes() == done.expected()["a.txt"]
    assert (folder / "a.txt.sealed").exists()


async def test_another_key_opens_nothing_and_leaves_nothing(done: Sealed, tmp_path: Path) -> None:
    other, folder = kept_key(Account.create(), tmp_path), tmp_path / "got"
    folder.mkdir()
    words = ["download", done.id, "0", "--decrypt", "--decrypt-key", str(other)]
    told = await done.cli(*words, "--to", str(folder))
    assert told.exit_code == 2
    assert "encrypted to the public key" in told.stderr
    assert os.listdir(folder) == []
    sealed = Path((await done.cli("download", done.id, "0", "--to", str(folder))).stdout.strip())
    told = await done.cli("decrypt", str(sealed), "--key", str(other))
    assert (told.exit_code, told.stdout) == (2, "")
    assert os.listdir(folder) == [sealed.name]
    whole = sealed.read_bytes()
    sealed.write_bytes(whole[:-1])
    told = await done.cli("decrypt", str(sealed))
    assert (told.exit_code, told.stdout) == (1, "")
    assert "changed or cut off" in told.stderr
    assert os.listdir(folder) == [sealed.name]
    for text in (told.stderr, told.stdout):
        assert done.owner.key.hex().removeprefix("0x") not in text


async def test_a_download_that_broke_goes_on_where_it_was(done: Sealed, tmp_path: Path) -> None:
    """What an earlier try left is not asked for again, and the whole is verified and opened."""
    [entry] = [one for one in done.job["results"] if one["filename"] == "sub/b.txt.sealed"]
    async with Consumer(done.service.url, done.owner) as consumer:
        sealed = await consumer.result(done.id, entry["index"])
    asked: list[str] = []
    trace = TraceConfig()

    async def note(_: object, __: object, params: Any) -> None:
        asked.extend(params.headers.getall("Range", []))

    trace.on_request_start.append(note)
    (tmp_path / "b.txt.sealed.part").write_bytes(sealed[:300_000])
    opening = Opening.with_key(done.owner)
    async with (
        ClientSession(trace_configs=[trace]) as session,
        ComputeClient(done.service.url, done.owner, session=session) as client,
    ):
        path = tmp_path / "b.txt"
        await client.download(done.id, entry["index"], path, opening=opening)
    assert asked == ["bytes=300000-"]
    assert path.read_bytes() == done.expected()["sub/b.txt"]
    assert os.listdir(tmp_path) == ["b.txt"]


async def test_the_log_of_a_job_that_failed_is_encrypted_too(
    service: Service, checksum: str, tmp_path: Path
) -> None:
    failed = await run(service, Account.create(), checksum, 3, tmp_path)
    assert (failed.job["status"], failed.job["terminationDetails"]["exitCode"]) == (41, 3)
    assert where(failed.needle, *places(service)) == []
    told = await failed.cli("download", failed.id, "--decrypt", "--to", str(tmp_path / "got"))
    assert told.exit_code == 0, told.stderr
    log = tmp_path / "got" / "algorithm.log"
    assert log.read_bytes() == failed.expected()["algorithm.log"]


async def killed_amid_sealing(service: Service, half: Path) -> bool:
    """Kill the service once a result is sealed. Whether others were not yet: that is a matter
    of milliseconds, and on a busy machine of luck."""
    async with asyncio.timeout(150):
        while not any(half.glob("*.sealed")) and not half.with_suffix("").exists():
            await asyncio.sleep(0.0005)
    service.kill()
    if half.with_suffix("").exists():
        return False
    return any(path.read_bytes()[:8] != b"OCSEALED" for path in half.iterdir())


async def test_killed_while_results_are_being_sealed(
    service: Service, checksum: str, tmp_path: Path
) -> None:
    owner = Account.create()
    async with Consumer(service.url, owner) as consumer:
        for _ in range(20):
            body = consumer.start_body(raw(LARGE, checksum=checksum), [DATASET], "wide")
            body["encryptTo"] = by_the_page.public_key(bytes(owner.key))[0]
            [job] = await consumer.call("POST", START, json=body)
            half = service.data / "results" / f"{job['jobId']}.partial"
            is_amid = await killed_amid_sealing(service, half)
            await service.restart()
            job = await consumer.follow(job["jobId"])
            if is_amid:
                break
        else:
            pytest.fail("everything was sealed already, each time")
        assert job["status"] == 70, job
        files = await consumer.files(job)
    key = bytes(owner.key)
    assert by_the_page.read(files["large.sealed"], key).clear == b"n" * 30_000_000
    assert by_the_page.read(files["algorithm.log.sealed"], key).clear == b"over\n"
    assert where("n" * 1000, *places(service)) == []
    assert not half.exists()


async def test_one_command_starts_waits_and_opens(
    service: Service, checksum: str, tmp_path: Path
) -> None:
    key = kept_key(Account.create(), tmp_path)
    script = tmp_path / "told.sh"
    script.write_text("echo told; cp /data/inputs/*/0 /data/outputs/copy.csv")
    words = ["start", "-a", str(script), "-d", f"{DATASET}#compute", "-e", "test"]
    words += ["--image", IMAGE, "--tag", "1", "--checksum", checksum]
    folder = tmp_path / "got"
    told = await command(service, key, *words, "--typed", "--encrypt", "--download", str(folder))
    assert told.exit_code == 0, told.stderr
    assert (folder / "copy.csv").read_text() == "a,b\n1,2\n3,4\n"
    assert (folder / "algorithm.log").read_text() == "told\n"
    assert sorted(os.listdir(folder)) == ["algorithm.log", "copy.csv"]
    for wrong in (["--encrypt", "--encrypt-to", "02" + "11" * 32], ["--encrypt-to", "11" * 32]):
        told = await command(service, key, *words, *wrong)
        assert (told.exit_code, told.stdout) == (2, ""), told
        assert "--encrypt-to" in told.stderr


async def test_the_example_of_the_page_does_what_it_says(
    service: Service, checksum: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept_key(Account.create(), tmp_path).rename("wallet.key")
    (tmp_path / "told.sh").write_text("echo told")
    image = {"image": IMAGE, "tag": "1", "checksum": checksum}
    algorithm = RawAlgorithm.from_file("told.sh", **image)
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    async with ComputeClient(service.url, "wallet.key") as client:
        await names["example"](client, "test", f"{DATASET}#compute", algorithm)
    assert (tmp_path / "results" / "algorithm.log").read_text() == "told\n"


@pytest.mark.parametrize("wrong", ["11" * 32, "0x02" + "ff" * 32, 5, ["02"], "0x"])
async def test_what_is_no_public_key_is_refused_and_starts_nothing(
    service: Service, checksum: str, wrong: object
) -> None:
    async with Consumer(service.url) as consumer:
        body = consumer.start_body(raw("true", checksum=checksum), [DATASET], "test")
        with pytest.raises(Refused) as refused:
            await consumer.call("POST", START, json=body | {"encryptTo": wrong})
        assert refused.value.status == 400
        [text] = refused.value.body["errors"]["encryptTo"]
        assert text.startswith("The encryptTo ")
        assert "11" * 32 not in json.dumps(refused.value.body)
        params = {"userAddress": consumer.address}
        assert await consumer.call("GET", "/api/services/nonce", params=params) == {"nonce": "1"}


async def test_only_the_typed_signature_covers_the_key(service: Service, checksum: str) -> None:
    """What the page says: the old form is good with any key put in, the typed one is not."""
    keys = [f"0x{by_the_page.public_key(bytes([n] * 32))[0]}" for n in (1, 2)]
    async with Consumer(service.url) as consumer:
        plain = consumer.start_body(raw("true", checksum=checksum), [DATASET], "test")
        [job] = await consumer.call("POST", START, json=plain | {"encryptTo": keys[1]})
        assert job["encryptTo"] == keys[1]
        domain = Domain((await consumer.call("GET", "/"))["providerAddress"], None)
        signed = {name: plain[name] for name in plain if name not in {"nonce", "signature"}}
        call = Call("computeStart", signed | {"encryptTo": keys[0]}, lambda nonce: "", as_body=True)
        body = Wallet(consumer.account).sign(call, int(consumer.nonce()), domain)
        with pytest.raises(Refused) as refused:
            await consumer.call("POST", START, json=body | {"encryptTo": keys[1]})
        assert "signature" in json.dumps(refused.value.body)
        [job] = await consumer.call("POST", START, json=body)
        assert job["encryptTo"] == keys[0]
        for each in await consumer.call("GET", START, params={"consumerAddress": consumer.address}):
            await consumer.follow(each["jobId"])
