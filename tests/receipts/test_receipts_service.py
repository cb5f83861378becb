"""Receipts of jobs on the real engine, from a real service: each way to end, each sum."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import independent
import pytest
import pytest_asyncio
from eth_account import Account
from support.consumer import Consumer, Refused, raw
from support.service import DATASET, IMAGE, KEY, Service, dataset_document, engine, image_id
from support.witness import watched_session
from typer.testing import CliRunner

from provider import __version__
from provider.cli.commands import app
from provider.receipts.verifying import verify, verify_results

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]
PROVIDER = Account.from_key(KEY).address
ALGORITHM = "did:op:" + "a9" * 32
PATH = "/api/services/computeReceipt"
CODE = (
    f"cat /data/inputs/{DATASET[7:]}/0 > /data/outputs/rows.csv; mkdir /data/outputs/deep;"
    "head -c 3000000 /dev/zero > /data/outputs/deep/zeros; echo read; exit 0"
)
UNTIL_STOPPED = "trap 'exit 0' TERM; echo up; sleep 60 & wait"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    service = Service(tmp_path_factory.mktemp("receipts") / "own")
    service.environments({}, {"id": "strict", "egress": {"maxFiles": 1}})
    service.publish(published_algorithm())
    (service.root / "files" / "train.sh").write_text(CODE)
    await service.start()
    yield service
    assert service.stop() == 0, service.log()
    assert not service.leftovers()
    assert "Traceback" not in service.log()


def published_algorithm() -> Json:
    document = dataset_document(ALGORITHM, [{"type": "localfile", "path": "train.sh"}])
    container = {"image": IMAGE, "tag": "1", "entrypoint": "sh $ALGO", "checksum": image_id()}
    algorithm = {"language": "shell", "version": "1", "container": container}
    document["metadata"] |= {"type": "algorithm", "algorithm": algorithm}
    return document


@pytest_asyncio.fixture(loop_scope="module")
async def consumer(service: Service) -> AsyncIterator[Consumer]:
    async with Consumer(service.url) as consumer:
        yield consumer


async def receipt_of(consumer: Consumer, job_id: str) -> tuple[bytes, Json]:
    """As it came, and what it states, read without anything of the project."""
    receipt = await consumer.fetch(PATH, {"jobId": job_id})
    signer, statement = independent.signer_of(receipt)
    assert signer == PROVIDER
    assert verify(receipt, providers=[PROVIDER]).account == statement["predicate"]
    return receipt, statement


async def ended(consumer: Consumer, algorithm: Json, environment: str = "test") -> Json:
    job = await consumer.start(algorithm, [DATASET], environment)
    return await consumer.follow(job["jobId"])


async def test_a_completed_job_has_a_receipt_whose_sums_are_right(
    service: Service, consumer: Consumer, tmp_path: Path
) -> None:
    published = {"documentId": ALGORITHM, "serviceId": "compute"}
    job = await ended(consumer, published)
    assert job["status"] == 70, job
    receipt, statement = await receipt_of(consumer, job["jobId"])
    account = statement["predicate"]
    files = await consumer.files(job)
    assert {file["filename"]: file["sha256"] for file in account["results"]} == {
        name: sha(data) for name, data in files.items()
    }
    assert {file["filename"]: file["size"] for file in account["results"]} == {
        name: len(data) for name, data in files.items()
    }
    assert {each["digest"]["sha256"] for each in statement["subject"]} == set(
        map(sha, files.values())
    )
    [stage] = account["stages"]
    rows = (service.root / "files" / "rows.csv").read_bytes()
    [given] = stage["inputs"]
    assert (given["did"], given["index"], given["changed"]) == (DATASET, 0, False)
    assert (given["sha256"], given["size"]) == (sha(rows), len(rows))
    assert stage["algorithm"] == {
        "did": ALGORITHM,
        "serviceId": "compute",
        "files": [{"sha256": sha(CODE.encode()), "size": len(CODE)}],
    }
    assert stage["customData"] == {"sha256": sha(b"{}"), "size": 2}
    with engine() as client:
        image = client.inspect_image(f"{IMAGE}:1")
    assert stage["image"]["id"] == image["Id"]
    names = [name for name in image["RepoDigests"] if name.startswith(f"{IMAGE}@")]
    assert stage["image"]["digests"] == names
    assert stage["image"]["reference"] == f"{IMAGE}:1"
    assert stage["command"] == ["sh", "/data/transformations/algorithm"]
    assert (stage["network"], stage["exitCode"], stage["outOfMemory"]) == ("none", 0, False)
    assert stage["limits"]["memoryBytes"] == 256 << 20
    assert stage["limits"]["nanoCpus"] == 10**9
    assert account["owner"] == consumer.address
    assert account["environment"] == "test"
    assert account["end"]["status"] == 70
    assert account["software"] == {"name": "ocean-compute", "version": __version__}
    [times] = account["times"].pop("stages")
    order = [account["times"]["created"], times["started"], times["ended"]]
    order.append(account["times"]["finished"])
    assert order == sorted(order)
    assert datetime.fromisoformat(order[3]).timestamp() == float(job["dateFinished"])
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert all(check.holds for check in verify_results(account, tmp_path))
    await consumer.delete(job["jobId"])
    assert (await receipt_of(consumer, job["jobId"]))[0] == receipt


async def test_each_other_end_has_a_receipt(consumer: Consumer, checksum: str) -> None:
    code = "echo x > /data/outputs/a; exit 3"
    failed = await ended(consumer, raw(code, checksum=checksum))
    _, statement = await receipt_of(consumer, failed["jobId"])
    [stage] = statement["predicate"]["stages"]
    assert (stage["ran"], stage["exitCode"]) == (True, 3)
    assert stage["algorithm"]["files"] == [{"sha256": sha(code.encode()), "size": len(code)}]
    assert statement["predicate"]["end"] | {"text": ""} == {
        "status": 41,
        "text": "",
        "reason": "exit_code",
        "exitCode": 3,
    }
    assert [file["filename"] for file in statement["predicate"]["results"]] == [
        "a",
        "algorithm.log",
    ]

    code = "echo x > /data/outputs/a; echo y > /data/outputs/b"
    refused = await ended(consumer, raw(code, checksum=checksum), "strict")
    _, statement = await receipt_of(consumer, refused["jobId"])
    account = statement["predicate"]
    assert (account["end"]["status"], account["end"]["reason"]) == (61, "egress_refused")
    assert (account["egress"]["outcome"], account["results"]) == ("refuse", [])
    assert account["egress"]["sources"][0]["source"] == "environment"
    [subject] = statement["subject"]
    assert subject["digest"]["sha256"] == sha(refused["jobId"].encode())

    missing = await ended(consumer, raw("true", checksum="sha256:" + "0d" * 32))
    _, statement = await receipt_of(consumer, missing["jobId"])
    [stage] = statement["predicate"]["stages"]
    assert statement["predicate"]["end"]["status"] == 11
    assert (stage["ran"], stage["inputs"], stage["image"]["id"]) == (False, None, None)
    assert stage["datasets"] == [{"did": DATASET, "serviceId": "compute"}]


async def test_a_job_that_runs_has_none_yet_and_a_stopped_one_has(
    service: Service, consumer: Consumer, checksum: str, tmp_path: Path
) -> None:
    job = await consumer.start(raw(UNTIL_STOPPED, checksum=checksum), [DATASET])
    await consumer.follow(job["jobId"], until={40})
    with pytest.raises(Refused) as early:
        await consumer.fetch(PATH, {"jobId": job["jobId"]})
    assert early.value.status == 404
    text = f"No receipt for job {job['jobId']} yet: it is not over (Running algorithm)."
    assert early.value.body == {"error": text}
    await consumer.stop(job["jobId"])
    await consumer.follow(job["jobId"])
    receipt, statement = await receipt_of(consumer, job["jobId"])
    assert statement["predicate"]["end"]["status"] == 7
    async with watched_session(service.url) as session:
        for query, status in (
            ({"jobId": job["jobId"]}, 200),
            ({"jobId": "0" * 32}, 404),
            ({"jobId": ""}, 400),
            ({"jobId": job["jobId"], "consumerAddress": "0x12"}, 400),
        ):
            async with session.get(service.url + PATH, params=query) as answer:
                assert answer.status == status, await answer.text()
        etag = f'"{sha(receipt)}"'
        query = {"jobId": job["jobId"]}
        for headers, status in (
            ({}, 200),
            ({"If-None-Match": etag}, 304),
            ({"If-Match": '"another"'}, 412),
        ):
            for method in ("GET", "HEAD"):
                async with session.request(
                    method, service.url + PATH, params=query, headers=headers
                ) as answer:
                    assert (answer.status, answer.headers["ETag"]) == (status, etag)
                    if status == 200:
                        assert answer.content_length == len(receipt)
    await the_command_brings_it(service, consumer, job["jobId"], receipt, tmp_path)


async def the_command_brings_it(
    service: Service, consumer: Consumer, job_id: str, receipt: bytes, folder: Path
) -> None:
    (folder / "key").write_text(bytes(consumer.account.key).hex())
    target = folder / "receipt.json"
    words = ["receipt", job_id, "--url", service.url, "--key", str(folder / "key")]
    done = await asyncio.to_thread(CliRunner().invoke, app, [*words, "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert target.read_bytes() == receipt
    printed = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert printed.stdout_bytes == receipt
    again = await asyncio.to_thread(CliRunner().invoke, app, [*words, "-o", str(target)])
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    words = ["verify", str(target), "--url", service.url]
    checked = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert checked.exit_code == 0, checked.output
    assert f"holds: The signer {PROVIDER} is the provider that was named." in checked.stdout


async def test_a_kill_loses_nothing_and_a_signature_may_be_demanded(
    service: Service, checksum: str, tmp_path: Path
) -> None:
    account = Account.create()
    async with Consumer(service.url, account) as consumer:
        code = "sleep 4; echo 42 > /data/outputs/answer"
        job = await consumer.start(raw(code, checksum=checksum), [DATASET])
        await consumer.follow(job["jobId"], until={40})
    service.kill()
    await service.start(REQUIRE_SIGNED_STATUS="true")
    async with Consumer(service.url, account) as consumer:
        receipt = await signed_receipt(consumer, job["jobId"])
        with pytest.raises(Refused) as unsigned:
            await consumer.fetch(PATH, {"jobId": job["jobId"]})
        assert unsigned.value.status == 400
    (tmp_path / "key").write_text(bytes(account.key).hex())
    for typed in ([], ["--typed"]):
        words = ["receipt", job["jobId"], "--url", service.url, "--key", str(tmp_path / "key")]
        done = await asyncio.to_thread(CliRunner().invoke, app, [*words, *typed])
        assert (done.exit_code, done.stdout_bytes) == (0, receipt), done.output
    signer, statement = independent.signer_of(receipt)
    [stage] = statement["predicate"]["stages"]
    assert signer == PROVIDER
    assert statement["predicate"]["end"]["status"] == 70
    assert stage["limits"]["memoryBytes"] == 256 << 20
    rows = (service.root / "files" / "rows.csv").read_bytes()
    assert [each["sha256"] for each in stage["inputs"]] == [sha(rows)]
    assert statement["predicate"]["results"][0]["sha256"] == sha(b"42\n")
    async with Consumer(service.url) as stranger:
        with pytest.raises(Refused) as refused:
            await stranger.fetch(PATH, signed_query(stranger, job["jobId"]))
        assert refused.value.status == 404


def signed_query(consumer: Consumer, job_id: str) -> Json:
    nonce = consumer.nonce()
    signature = consumer.sign(consumer.address, job_id, nonce)
    address = {"consumerAddress": consumer.address, "jobId": job_id}
    return {**address, "nonce": nonce, "signature": signature}


async def signed_receipt(consumer: Consumer, job_id: str) -> bytes:
    """Once the job is over."""
    async with asyncio.timeout(150):
        while True:
            try:
                return await consumer.fetch(PATH, signed_query(consumer, job_id))
            except Refused as refused:
                if "not over" not in str(refused.body):
                    raise
                await asyncio.sleep(0.2)
