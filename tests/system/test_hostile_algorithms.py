"""Algorithms that misbehave, on the real engine: each ends with its own number and reason."""

from __future__ import annotations

import os

import pytest
from support.consumer import Consumer, Refused, raw
from support.service import DATASET, Service

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

MiB = 1 << 20


@pytest.mark.parametrize(
    ("code", "environment", "number", "reason", "exit_code"),
    [
        ("exit 3", "test", 41, "exit_code", 3),
        ("sh -c 'kill -9 $$'; exit $?", "test", 41, "exit_code", 137),
        ("sleep 1; exec awk 'BEGIN{s=\"x\"; while(1) s=s s}'", "test", 41, "out_of_memory", 137),
        ("sleep 100", "short", 41, "time_limit", None),
        ("trap '' TERM; while :; do sleep 1; done", "short", 41, "time_limit", 137),
        ("f() { f | f & }; f; sleep 100", "short", 41, None, None),
        ("cat /dev/zero > /data/outputs/big", "tiny", 42, "disk_quota", None),
        ("i=0; while : > /data/outputs/$i; do i=$((i+1)); done", "tiny", 42, "disk_quota", None),
        ("for i in 1 2 3; do truncate -s 3M /data/outputs/$i; done", "tiny", 42, "disk_quota", 0),
    ],
)
async def test_each_fault_has_its_number_and_reason(
    consumer: Consumer,
    checksum: str,
    code: str,
    environment: str,
    number: int,
    reason: str | None,
    exit_code: int | None,
) -> None:
    job = await consumer.start(raw(code, checksum=checksum), [DATASET], environment)
    job = await consumer.follow(job["jobId"])
    assert job["status"] == number, job
    if reason is not None:
        assert job["terminationDetails"]["reason"] == reason
    if exit_code is not None:
        assert job["terminationDetails"]["exitCode"] == exit_code
    assert job["terminationDetails"]["OOMKilled"] is (reason == "out_of_memory")
    assert job["dateFinished"] is not None


async def test_outputs_and_log_of_a_failed_algorithm_are_published(
    consumer: Consumer, checksum: str
) -> None:
    code = "echo half > /data/outputs/partial.txt; echo said; exit 5"
    job = await consumer.start(raw(code, checksum=checksum), [DATASET])
    job = await consumer.follow(job["jobId"])
    files = await consumer.files(job)
    assert job["status"] == 41
    assert files == {"partial.txt": b"half\n", "algorithm.log": b"said\n"}


async def test_a_hundred_thousand_files_are_stopped_by_the_quota(
    consumer: Consumer, checksum: str
) -> None:
    code = (
        "cd /data/outputs; for d in $(seq 1000); do mkdir $d && "
        "for f in $(seq 100); do : > $d/$f || exit 1; done || exit 1; done"
    )
    job = await consumer.start(raw(code, checksum=checksum), [DATASET], "wide")
    job = await consumer.follow(job["jobId"])
    assert job["status"] == 42
    assert len(job["results"]) <= 1001


async def test_a_log_flood_is_bounded_and_ends_with_the_time_limit(
    consumer: Consumer, checksum: str
) -> None:
    code = "yes 'a line that nobody will ever read' | head -c 10737418240"
    job = await consumer.start(raw(code, checksum=checksum), [DATASET], "short")
    job = await consumer.follow(job["jobId"])
    log = await consumer.result(job["jobId"], job["results"][-1]["index"])
    assert job["status"] == 41
    assert job["terminationDetails"]["reason"] == "time_limit"
    assert 0 < len(log) <= 16 * MiB


async def test_links_pipes_and_devices_never_become_results(
    consumer: Consumer, checksum: str
) -> None:
    code = """
    cd /data/outputs
    ln -s /etc/passwd stolen; ln -s /etc folder; mkfifo pipe; mknod zero c 1 5
    ln -s /data/inputs/algoCustomData.json input
    mkdir -p deep/er; echo kept > deep/er/file.txt
    """
    job = await consumer.start(raw(code, checksum=checksum), [DATASET])
    job = await consumer.follow(job["jobId"])
    assert job["status"] == 70, job
    names = [entry["filename"] for entry in job["results"]]
    assert names == ["deep/er/file.txt", "algorithm.log"]


async def test_stop_ends_an_algorithm_that_ignores_sigterm(
    consumer: Consumer, checksum: str
) -> None:
    code = "trap '' TERM; echo up > /data/outputs/up; while :; do sleep 1; done"
    job = await consumer.start(raw(code, checksum=checksum), [DATASET])
    await consumer.follow(job["jobId"], until={40})
    stopped = await consumer.stop(job["jobId"], DATASET)
    assert (stopped["status"], stopped["statusText"]) == (7, "Job stopped")
    assert stopped["dateFinished"]
    assert "up" in {entry["filename"] for entry in stopped["results"]}


async def test_delete_ends_a_running_job_and_removes_its_results(
    consumer: Consumer, checksum: str, shared: Service
) -> None:
    job = await consumer.start(raw("sleep 60", checksum=checksum), [DATASET])
    await consumer.follow(job["jobId"], until={40})
    deleted = await consumer.delete(job["jobId"], DATASET)
    assert (deleted["status"], deleted["statusText"]) == (8, "Job deleted successfully")
    assert not (shared.data / "results" / job["jobId"]).exists()
    assert not (shared.data / "jobs" / job["jobId"]).exists()


async def test_an_image_that_does_not_exist(consumer: Consumer, checksum: str) -> None:
    algorithm = raw("true", image="no/such-image", checksum="sha256:" + "0" * 64)
    job = await consumer.start(algorithm, [DATASET])
    job = await consumer.follow(job["jobId"])
    assert job["status"] == 11
    assert job["terminationDetails"]["reason"] == "image_unavailable"


async def test_a_checksum_that_is_not_the_images(consumer: Consumer) -> None:
    job = await consumer.start(raw("true", checksum="sha256:" + "0" * 64), [DATASET])
    job = await consumer.follow(job["jobId"])
    assert job["status"] == 11


async def test_an_entrypoint_that_is_not_there(consumer: Consumer, checksum: str) -> None:
    algorithm = raw("true", checksum=checksum, entrypoint="/no/such/program $ALGO")
    job = await consumer.start(algorithm, [DATASET])
    job = await consumer.follow(job["jobId"])
    assert job["status"] == 22
    assert job["terminationDetails"]["reason"] == "entrypoint_refused"
    assert job["failure"]["whoCanFix"] == ["consumer"]


async def test_the_entrypoint_never_meets_a_shell(consumer: Consumer, checksum: str) -> None:
    entrypoint = "echo $ALGO ; touch /data/outputs/pwned && $(id)"
    job = await consumer.start(raw("true", checksum=checksum, entrypoint=entrypoint), [DATASET])
    job = await consumer.follow(job["jobId"])
    files = await consumer.files(job)
    text = b"/data/transformations/algorithm ; touch /data/outputs/pwned && $(id)\n"
    assert files == {"algorithm.log": text}


async def test_the_container_is_hardened(consumer: Consumer, checksum: str) -> None:
    code = """
    id -u; id -g
    grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
    touch /x 2>/dev/null && echo ROOT-WRITABLE
    touch /data/inputs/x 2>/dev/null && echo INPUTS-WRITABLE
    ls /sys/class/net
    grep -o '127.0.0.1.localhost' /etc/hosts | tr '\\t' ' '
    ls /var/run/docker.sock 2>/dev/null
    touch /tmp/x && touch $HOME/y && echo tmp-ok
    df -k /tmp | tail -1 | awk '{print "tmp", $2}'
    """
    job = await consumer.start(raw(code, checksum=checksum), [DATASET])
    job = await consumer.follow(job["jobId"])
    log = (await consumer.files(job))["algorithm.log"].decode().split("\n")
    own = [str(os.geteuid()), str(os.getegid())]
    assert log[:2] == (own if os.geteuid() else ["65534", "65534"])
    told = dict(line.split(":\t") for line in log if ":\t" in line)
    assert told == {
        "CapEff": "0" * 16,
        "CapBnd": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }
    assert [line for line in log[6:] if line] == [
        "lo",
        "127.0.0.1 localhost",
        "tmp-ok",
        "tmp 65536",
    ]


async def test_network_needs_the_environment_and_every_dataset(
    consumer: Consumer, checksum: str
) -> None:
    job = await consumer.start(raw("ls /sys/class/net", checksum=checksum), [DATASET], "online")
    job = await consumer.follow(job["jobId"])
    assert (await consumer.files(job))["algorithm.log"] == b"lo\n"


async def test_both_layouts_are_there(consumer: Consumer, checksum: str) -> None:
    code = """
    did=$(echo "$DIDS" | tr -d '[]"'); cat /data/inputs/$did/0; cat /data/inputs/rows.csv
    cat /data/inputs/algoCustomData.json; echo; ls /data/ddos; echo "[$TRANSFORMATION_DID]"
    echo $INPUTS $OUTPUTS $LOGS $VOLUME $BASE_DIR ${#secret} $HOME; test -x "$0" && echo "$0"
    """
    algorithm = raw(code, checksum=checksum, entrypoint="/bin/sh $ALGO")
    algorithm["algocustomdata"] = {"rounds": 3}
    job = await consumer.start(algorithm, [DATASET])
    job = await consumer.follow(job["jobId"])
    log = (await consumer.files(job))["algorithm.log"].decode()
    did = DATASET.removeprefix("did:op:")
    assert log == (
        "a,b\n1,2\n3,4\na,b\n1,2\n3,4\n"
        '{"rounds": 3}\n'
        f"{did}\n[]\n"
        "/data/inputs /data/outputs /data/logs /data /data 64 /tmp\n"
        "/data/transformations/algorithm\n"
    )


async def test_a_job_may_not_wait_longer_than_the_queue_allows(
    consumer: Consumer, checksum: str
) -> None:
    first = await consumer.start(raw("sleep 30", checksum=checksum), [DATASET], "one")
    await consumer.follow(first["jobId"], until={40})
    second = await consumer.start(raw("true", checksum=checksum), [DATASET], "one")
    assert (await consumer.follow(second["jobId"]))["status"] == 2
    await consumer.stop(first["jobId"])


async def test_a_queued_job_stops_at_once(consumer: Consumer, checksum: str) -> None:
    first = await consumer.start(raw("sleep 30", checksum=checksum), [DATASET], "one")
    await consumer.follow(first["jobId"], until={40})
    second = await consumer.start(raw("true", checksum=checksum), [DATASET], "one")
    assert (await consumer.stop(second["jobId"]))["status"] == 7
    await consumer.stop(first["jobId"])


async def test_who_may_use_an_environment_and_which_images(
    consumer: Consumer, checksum: str
) -> None:
    for environment in ("closed", "picky", "nowhere"):
        with pytest.raises(Refused) as refusal:
            await consumer.start(raw("true", checksum=checksum), [DATASET], environment)
        assert 400 <= refusal.value.status < 500
