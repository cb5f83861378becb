"""What a service leaves in its log, seen through the operator's commands."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from audit_samples import spoil_file
from dialects.pipelines.pipeline_caller import ACCESS_KEY, DELETE, LOG, SECRET_KEY
from support.consumer import Consumer, Refused, raw
from support.service import DATASET, KEY, Service, dataset_document
from system.test_all_dialects import DONE, Clients, sections

from provider.apikeys import hash_key, new_key

pytestmark = pytest.mark.docker

ACCESS = "did:op:" + "d2" * 32
COMPUTE = "/api/services/compute"
Json = dict[str, Any]


class Keeping(Consumer):
    """Remembers all that it has signed."""

    signatures: list[str]

    def sign(self, *parts: object) -> str:
        made = super().sign(*parts)
        self.__dict__.setdefault("signatures", []).append(made)
        return made


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path / "own")
    yield service
    service.stop()
    service.sweep()


def log_of(service: Service) -> list[Json]:
    """All records, checked by the way."""
    shown = service.command("audit", "show", "--last", "10000", "--json")
    assert shown.returncode == 0, shown.stderr
    found: list[Json] = json.loads(shown.stdout)
    return found


def outline(records: list[Json], *without: str) -> list[tuple[str, str, str]]:
    return [
        (record["kind"], record["decision"], record["reason"])
        for record in records
        if record["kind"] not in without
    ]


def sound(service: Service, *words: str) -> str:
    found = service.command("audit", "verify", *words)
    assert found.returncode == 0, found.stdout + found.stderr + service.log()[-2000:]
    return found.stdout


def counted(records: list[Json]) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in records:
        if record["kind"] == "counted":
            found |= record["details"]["counts"]
    return found


async def refused(call: Any) -> int:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.status


def about_a_token(consumer: Consumer, **more: str) -> Json:
    nonce = consumer.nonce()
    signature = consumer.sign(consumer.address, nonce)
    return {"address": consumer.address, "nonce": nonce, "signature": signature, **more}


async def token_of(consumer: Consumer) -> str:
    query = about_a_token(consumer, expiration=str(int(time.time()) + 3600))
    answer = await consumer.call("GET", "/api/services/createAuthToken", params=query)
    return str(answer["token"])


async def test_the_endpoints_of_the_ocean_api(service: Service, checksum: str) -> None:
    document = dataset_document(ACCESS, [{"type": "localfile", "path": "rows.csv"}])
    document["services"][0]["type"] = "access"
    service.publish(document)
    service.environments({}, {"id": "closed", "consumers": {"allow": ["0x" + "cc" * 20]}})
    await service.start()
    algorithm = raw("sleep 1; echo secret-line > /data/outputs/n", checksum=checksum)
    async with Keeping(service.url) as alice, Keeping(service.url) as mallory:
        token = await token_of(alice)
        job = await alice.start(algorithm, [DATASET])
        job_id = job["jobId"]
        await alice.status(job_id)
        done = await alice.follow(job_id)
        assert done["status"] == 70
        await alice.result(job_id, 0)
        query = alice.result_params(job_id, 0)
        async with aiohttp.ClientSession() as session:
            url = service.url + "/api/services/computeResult"
            async with session.head(url, params=query) as head:
                assert head.status == 200
        second = (await alice.start(raw("sleep 60", checksum=checksum), [DATASET]))["jobId"]
        await alice.stop(second)
        await alice.delete(second)
        nonce = alice.nonce()
        wanted = {
            "documentId": ACCESS,
            "serviceId": "compute",
            "fileIndex": "0",
            "consumerAddress": alice.address,
            "transferTxId": "",
            "nonce": nonce,
            "signature": alice.sign(ACCESS, nonce),
        }
        await alice.fetch("/api/services/download", wanted)
        started = alice.start_body(algorithm, [DATASET], "test") | {"signature": ""}
        started["nonce"] = alice.nonce()
        headers = {"AuthToken": token}
        [third] = await alice.call("POST", COMPUTE, json=started, headers=headers)
        closing = about_a_token(alice, token=token)
        await alice.call("DELETE", "/api/services/deleteAuthToken", json=closing)
        nobody = {"chainId": "1"}
        octets = {"Content-Type": "application/octet-stream"}
        async with aiohttp.ClientSession() as session:
            url = service.url + "/api/services/encrypt"
            async with session.post(url, params=nobody, data=b"x", headers=octets) as sealed:
                assert sealed.status == 201
        # what is refused
        assert await refused(alice.fetch("/api/services/download", wanted)) == 400
        assert await refused(mallory.result(job_id, 0)) == 404
        assert await refused(mallory.start(algorithm, [DATASET], "closed")) == 403
        forged = alice.start_body(algorithm, [DATASET], "test") | {"consumerAddress": DATASET}
        assert await refused(alice.call("POST", COMPUTE, json=forged)) == 400
        forged = alice.start_body(algorithm, [DATASET], "test") | {"nonce": alice.nonce()}
        assert await refused(alice.call("POST", COMPUTE, json=forged)) == 400
        assert await refused(alice.call("POST", COMPUTE, json=started, headers=headers)) == 400
        opened = {
            "decrypterAddress": alice.address,
            "chainId": 1,
            "dataNftAddress": "0x" + "ab" * 20,
            "transactionId": "0x" + "cd" * 32,
            "nonce": alice.nonce(),
        }
        parts = (opened["transactionId"], alice.address, "1", opened["nonce"])
        opened["signature"] = alice.sign(*parts)
        assert await refused(alice.call("POST", "/api/services/decrypt", json=opened)) == 400
        await alice.follow(third["jobId"])
        assert service.stop() == 0
        secrets = [*alice.signatures, *mallory.signatures, token, KEY, "secret-line", "rows.csv"]
    records = log_of(service)
    assert outline(records) == [
        ("service_started", "done", ""),
        ("head", "done", ""),
        ("token_created", "allowed", ""),
        ("start", "allowed", ""),
        ("job_ended", "done", "completed"),
        ("result", "allowed", ""),
        ("start", "allowed", ""),
        ("stop", "allowed", ""),
        ("job_ended", "done", "stopped"),
        ("delete", "allowed", ""),
        ("job_deleted", "done", "stopped"),
        ("download", "allowed", ""),
        ("start", "allowed", ""),
        ("token_deleted", "allowed", ""),
        ("result", "refused", "NoSuchJob"),
        ("decrypt", "refused", "UnsupportedChain"),
        ("job_ended", "done", "completed"),
        ("counted", "done", ""),
        ("counted", "done", ""),
        ("service_stopped", "done", ""),
        ("head", "done", ""),
    ]
    by_alice = [record for record in records if record["decision"] == "allowed"]
    assert {record["actor"] for record in by_alice} == {alice.address.lower()}
    refusals = [record for record in records if record["decision"] == "refused"]
    assert [record["details"]["status"] for record in refusals] == [404, 400]
    assert refusals[0]["actor"] == mallory.address.lower()
    [start] = [r for r in by_alice if r["kind"] == "start" and r["job"] == job_id]
    assert start["details"]["dids"] == [DATASET]
    assert start["details"]["environment"] == "test"
    assert start["details"]["by"] == "signature"
    assert start["request"]
    [by_token] = [r for r in by_alice if r["job"] == third["jobId"]]
    assert by_token["details"]["by"] == "token"
    [result] = [r for r in by_alice if r["kind"] == "result"]
    assert (result["job"], result["details"]["index"]) == (job_id, 0)
    assert result["details"]["sha256"] == done["results"][0]["sha256"]
    assert counted(records) == {
        "start NotAllowed": 1,
        "POST /api/services/compute InvalidRequest": 1,
        "start SignatureWrong": 1,
        "start TokenRevoked": 1,
        "download NonceTooLow": 1,
        "encrypt": 1,
    }
    assert "address" not in "".join(records[3])
    assert "records, 1 to 21" in sound(service)
    export = service.root / "log.jsonl"
    assert service.command("audit", "export", str(export)).returncode == 0
    text = export.read_text()
    assert export.stat().st_mode & 0o777 == 0o600
    for secret in secrets:
        assert secret.removeprefix("0x") not in text
    shown = service.command("audit", "show", "--job", job_id)
    assert len(shown.stdout.splitlines()) == 4
    assert all(job_id in line for line in shown.stdout.splitlines())


async def test_one_job_of_each_sibling(service: Service, tmp_path: Path) -> None:
    images = {"allow": ["*"], "pull": "never", "build": True}
    service.environments({"images": images, "maxJobs": 5})
    configured = sections(tmp_path, 3)
    service.dialects(configured)
    await service.start()
    async with aiohttp.ClientSession() as session:
        clients = Clients(service, session, 3)
        await clients.start()
        await clients.until(DONE)
        async with session.get(service.url + "/gbuilder/tasks/one/results") as got:
            assert got.status == 200
        async with session.get(service.url + "/aaas/auto/task_log?task_id=one") as got:
            assert got.status == 200
        run = {"task_uid": clients.pipelines_task, "type": "preprocessing"}
        status, answer = await clients.caller.parse(LOG, run)
        assert status == 200, answer
        wrong = "/aaas/auto/run?module=nothing&name=count&task_id=two"
        async with session.get(service.url + wrong) as got:
            assert got.status == 400, await got.text()
        async with session.delete(service.url + "/gbuilder/tasks/one") as got:
            assert got.status == 400
        user = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        wanted = {"task_uid": clients.pipelines_task}
        status, answer = await clients.caller.parse(DELETE, {**wanted, **user})
        assert status == 200, answer
        status, answer = await clients.caller.parse(
            DELETE, {**wanted, **user, "secret_key": "hunter2"}
        )
        assert status == 401, answer
    assert service.stop() == 0
    sound(service)
    records = log_of(service)
    starts = {r["actor"]: r for r in records if r["kind"] == "start"}
    assert set(starts) == {
        "gbuilder:",
        "pipelines:/user1",
        "labelling:",
        "aaas:",
        clients.consumer.address.lower(),
    }
    assert all(record["decision"] == "allowed" for record in starts.values())
    ended = {r["job"] for r in records if r["kind"] == "job_ended"}
    assert ended == {record["job"] for record in starts.values()}
    rest = [(r["kind"], r["actor"], r["decision"]) for r in records]
    assert ("result", "gbuilder:", "allowed") in rest
    assert ("DELETE /gbuilder/tasks/{task_id}", "gbuilder:", "refused") in rest
    assert ("output", "aaas:", "allowed") in rest
    assert ("log", "aaas:", "allowed") in rest
    assert ("log", "pipelines:", "allowed") in rest
    assert ("delete", "pipelines:/user1", "allowed") in rest
    assert rest.count(("registry_added", "pipelines:/user1", "allowed")) == 6
    [wrong] = [record for record in records if record["reason"] == "CredentialsWrong"]
    assert wrong["kind"].startswith("POST /pipelines/api/")
    assert (wrong["actor"], wrong["details"]) == ("pipelines:", {"status": 401})
    told = json.dumps(records)
    for secret in ("Ada", "output.jsonl", "forum", "hunter2"):
        assert secret not in told


async def test_keys_that_are_wrong_are_counted_and_those_that_are_right_named(
    service: Service, tmp_path: Path
) -> None:
    key = new_key()
    section = sections(tmp_path, 0)["gbuilder"] | {"keys": {"lab": hash_key(key)}}
    service.environments({"images": {"allow": ["*"], "pull": "never"}})
    service.dialects({"gbuilder": section})
    await service.start(AUDIT_ADDRESSES="true")
    async with aiohttp.ClientSession() as session:
        for used in ("wrong", "", key):
            form = aiohttp.FormData({"task_id": "one"})
            form.add_field("task_file", b'{"data": "Ada"}\n', filename="in.jsonl")
            url = service.url + "/gbuilder/tasks"
            headers = {"Authorization": f"Bearer {used}"}
            async with session.post(url, data=form, headers=headers) as answer:
                assert answer.status == (200 if used == key else 401)
    assert service.stop() == 0
    records = log_of(service)
    assert counted(records) == {"POST /gbuilder/tasks KeyWrong": 2}
    [start] = [record for record in records if record["kind"] == "start"]
    assert (start["actor"], start["address"]) == ("gbuilder:lab", "127.0.0.1")
    assert key not in json.dumps(records)
    sound(service)


async def test_a_flood_of_refusals_leaves_few_records(service: Service, checksum: str) -> None:
    service.environments({})
    await service.start()
    algorithm = raw("true", checksum=checksum)
    async with Consumer(service.url) as alice:
        job = await alice.start(algorithm, [DATASET])
        replayed = alice.result_params(job["jobId"], 9)
        await alice.follow(job["jobId"])
        assert await refused(alice.result(job["jobId"], 10)) == 404
        forged = replayed | {"signature": alice.sign("something else")}
        for query in (replayed, forged):
            calls = (alice.fetch("/api/services/computeResult", query) for _ in range(300))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {each.status for each in outcomes if isinstance(each, Refused)} <= {400, 404}
            assert all(isinstance(each, Refused) for each in outcomes)
    assert service.stop() == 0
    records = log_of(service)
    assert outline(records, "head", "counted").count(("result", "refused", "NoSuchResult")) <= 10
    assert len([record for record in records if record["decision"] == "refused"]) == 10
    assert len(records) < 25
    counts = counted(records)
    assert counts["result SignatureWrong"] == 300
    assert sum(counts.values()) == 601 - 10
    sound(service)


async def test_kills_leave_a_whole_chain(service: Service, checksum: str) -> None:
    """Each answered start has its record, and each record of a start its job."""
    service.environments({"maxJobs": 1, "maxQueue": 1000})
    await service.start()
    started: list[str] = []
    algorithm = raw("sleep 300", checksum=checksum)
    async with AsyncExitStack() as stack:
        wallets = [await stack.enter_async_context(Consumer(service.url)) for _ in range(4)]

        async def ask(consumer: Consumer) -> None:
            while True:
                started.append((await consumer.start(algorithm, [DATASET]))["jobId"])

        for _ in range(3):
            asking = [asyncio.create_task(ask(consumer)) for consumer in wallets]
            before = len(started)
            while len(started) < before + 8:
                await asyncio.sleep(0.01)
            service.kill()
            outcomes = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(each, aiohttp.ClientError) for each in outcomes), outcomes
            await service.restart()
            sound(service)
        kept: set[str] = set()
        for consumer in wallets:
            query = {"consumerAddress": consumer.address}
            kept |= {job["jobId"] for job in await consumer.call("GET", COMPUTE, params=query)}
        recorded = [r["job"] for r in log_of(service) if r["kind"] == "start"]
        assert len(recorded) == len(set(recorded))
        assert set(started) <= set(recorded)
        assert set(recorded) == kept
        for consumer in wallets:
            nonce = consumer.nonce()
            signature = consumer.sign(consumer.address, DATASET, nonce)
            params = {"documentId": DATASET, "nonce": nonce, "signature": signature}
            params["consumerAddress"] = consumer.address
            await consumer.call("PUT", COMPUTE, params=params)
        assert {r["job"] for r in log_of(service) if r["kind"] == "stop"} == kept
    assert service.stop() == 0
    ended = [r["job"] for r in log_of(service) if r["kind"] == "job_ended"]
    assert len(ended) == len(set(ended))
    assert set(ended) <= kept
    sound(service)


async def test_the_commands_find_what_was_done_to_the_database(service: Service) -> None:
    await service.start()
    told = sound(service)
    assert "The log is sound: 2 records" in told
    assert "in 1 head." in told
    export = service.root / "log.jsonl"
    assert service.command("audit", "export", str(export)).returncode == 0
    again = service.command("audit", "export", str(export))
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    head = next(line for line in service.log().splitlines() if "audit_head" in line)
    kept = head.rpartition("sequence=")[2].replace(" hash=", ":")
    assert service.stop() == 0
    assert sound(service, "--head", kept)
    database = service.data / "ocean-compute.db"
    last = log_of(service)[-1]["sequence"]
    spoil_file(database, f"DELETE FROM audit WHERE sequence >= {last - 1}")
    assert "sound" in sound(service)
    cut = f"{last - 1}:{'ab' * 32}"
    told = service.command("audit", "verify", "--head", cut)
    assert told.returncode == 1
    assert f"records {last - 1} to {last - 1} were cut off" in told.stdout
    spoil_file(database, "UPDATE audit SET body = replace(body, 'done', 'dons') WHERE sequence = 1")
    spoil_file(database, "UPDATE audit SET body = char(27) || '[31m' WHERE sequence = 2")
    shown = service.command("audit", "show")
    assert (shown.returncode, "\x1b" in shown.stdout) == (0, False)
    assert "This record cannot be read" in shown.stdout
    exported = service.command("audit", "export", "-")
    assert len(exported.stdout.splitlines()) == int(exported.stderr.split()[0])
    told = service.command("audit", "verify", "--json")
    assert told.returncode == 1
    assert json.loads(told.stdout)["findings"][0].startswith("Record 1 was changed after")
    # the export was made before, and is checked without any settings
    address = log_address(service)
    good = service.command("audit", "verify", "--file", str(export), "--address", address)
    assert good.returncode == 0, good.stdout
    other = service.command("audit", "verify", "--file", str(export), "--address", "0x" + "1" * 40)
    assert other.returncode == 1
    lines = export.read_text().splitlines()
    export.write_text("\n".join([lines[1], lines[0], "nonsense"]))
    told = service.command("audit", "verify", "--file", str(export))
    assert told.returncode == 1
    assert "Record 1 comes after record 2" in told.stdout
    assert "Line 3 is no record." in told.stdout


def log_address(service: Service) -> str:
    [line] = [line for line in service.log().splitlines() if " ready url=" in line][:1]
    return line.rpartition("address=")[2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["verify", "--head", "x"], "NUMBER:HASH"),
        (["verify", "--address", "x"], "is no address"),
        (["verify", "--file", "/nowhere/x"], "cannot be read"),
        (["export", "-", "--since", "yesterday"], "is no time"),
        (["show"], "PROVIDER_PRIVATE_KEY_FILE"),
    ],
)
def test_wrong_usage_says_what_is_wrong(words: list[str], says: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "provider", "audit", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert says in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 100])
def test_a_database_without_a_log_is_told_of(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.db"
    if content is not None:
        path.write_bytes(content)
    told = subprocess.run(
        [sys.executable, "-m", "provider", "audit", "verify"],
        env={"PROVIDER_PRIVATE_KEY": KEY, "DATABASE_URL": f"sqlite:///{path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert told.stderr.startswith("The audit log cannot be read")
    assert path.exists() == (content is not None)
