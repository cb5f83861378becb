"""What is told of a job that is over, and what is not."""

from __future__ import annotations

import json
from dataclasses import replace

from receipt_samples import (
    DID,
    IMAGE_ID,
    JOB,
    OWNER,
    REVIEWER,
    a_job,
    a_run,
    a_stage,
    an_account,
    facts,
    held,
)

from compute import __version__, account
from compute.models import AlgorithmItem, DatasetItem, Image, JobSpec, Termination
from compute.status import Phase
from provider.receipts.statement import canonical, statement, subjects

STAGE = {
    "name": "algorithm",
    "ran": True,
    "image": {
        "reference": "python:3.11",
        "checksum": "sha256:" + "0a" * 32,
        "id": IMAGE_ID,
        "digests": ["python@sha256:" + "0a" * 32],
    },
    "entrypoint": "python3 $ALGO",
    "command": ["python3", "/data/transformations/algorithm"],
    "algorithm": {"did": "", "serviceId": "", "files": [{"sha256": "d3" * 32, "size": 27}]},
    "datasets": [{"did": DID, "serviceId": "s1"}],
    "inputs": [
        {
            "did": DID,
            "serviceId": "s1",
            "index": 0,
            "sha256": "d1" * 32,
            "size": 8,
            "changed": False,
        }
    ],
    "given": [],
    "customData": {"sha256": "d2" * 32, "size": 2},
    # printf '{"PASSWORD":"secret variable"}' | sha256sum
    "variablesSha256": "91b52847f4ad33fa8dbcf0c18a2de6a42c4257f04203fc00922d82b56c8a4339",
    "maxSeconds": 60,
    "network": "none",
    "limits": {
        "nanoCpus": 1_500_000_000,
        "memoryBytes": 512 << 20,
        "gpus": 0,
        "pids": 256,
        "tmpBytes": 64 << 20,
        "outputBytes": 512 << 20,
        "outputFiles": 10_000,
        "logBytes": 16 << 20,
        "user": "65534:65534",
        "writableRoot": False,
        "capabilities": [],
        "noNewPrivileges": True,
    },
    "filters": [],
    "exitCode": 0,
    "outOfMemory": False,
}


def test_an_account_tells_what_ran_and_where_it_led() -> None:
    assert an_account() == {
        "job": JOB,
        "owner": OWNER,
        "environment": "small",
        "stages": [STAGE],
        "egress": None,
        "encryptedTo": "",
        "results": [
            {
                "index": 0,
                "filename": "out/tablé.csv",
                "type": "output",
                "sha256": "c1" * 32,
                "size": 4,
            },
            {
                "index": 1,
                "filename": "algorithm.log",
                "type": "algorithmLog",
                "sha256": "c2" * 32,
                "size": 6,
            },
        ],
        "end": {"status": 70, "text": "Job completed", "reason": "completed", "exitCode": 0},
        "times": {
            "created": "2023-11-14T22:13:20.000000Z",
            "finished": "2023-11-14T22:13:50.000000Z",
            "stages": [
                {
                    "name": "algorithm",
                    "started": "2023-11-14T22:13:30.250000Z",
                    "ended": "2023-11-14T22:13:40.500000Z",
                }
            ],
        },
        "software": {"name": "ocean-compute", "version": __version__},
    }


def test_nothing_of_a_consumers_texts_and_of_this_machine_is_told() -> None:
    text = json.dumps(an_account())
    for word in ("secret", "told to nobody", "the program itself", "4242", "machine", "operator"):
        assert word not in text, word


def test_the_verdict_of_the_rules_and_who_decided_are_told() -> None:
    job = a_job(verdict=held(), spec=a_job().spec.model_copy(update={"encrypt_to": "02" * 33}))
    told = an_account(job)
    assert told["encryptedTo"] == "02" * 33
    assert told["egress"] == {
        "outcome": "hold",
        "fired": ["maxFiles: at most 3 files"],
        "sources": [
            {
                "source": "environment",
                "outcome": "pass",
                "fired": [],
                "decision": "",
                "by": "",
                "at": None,
            },
            {
                "source": DID,
                "outcome": "hold",
                "fired": ["maxFiles: at most 3 files"],
                "decision": "released",
                "by": REVIEWER,
                "at": "2023-11-14T22:13:45.000000Z",
            },
        ],
    }


def test_a_stage_that_never_ran_says_so() -> None:
    stages = (a_stage("fetch"), a_stage("train", variables={}))
    end = Termination(Phase.ALGORITHM_FAILED, "exit_code", "", 3, stage="fetch")
    job = a_job(
        spec=JobSpec(stages=stages),
        runs=(a_run("fetch", exit_code=3),),
        phase=Phase.ALGORITHM_FAILED,
        termination=end,
        results=(),
    )
    told = account.whole(account.ended(job), {0: facts()})
    fetch, train = told["stages"]
    assert (fetch["ran"], fetch["exitCode"], fetch["command"][0]) == (True, 3, "python3")
    assert (train["ran"], train["exitCode"], train["image"]["id"]) == (False, None, None)
    never = ("inputs", "given", "customData", "command", "network", "limits", "variablesSha256")
    assert {name: train[name] for name in never} == dict.fromkeys(never)
    assert train["algorithm"]["files"] is None
    assert train["datasets"] == [{"did": DID, "serviceId": "s1"}]
    assert told["end"]["exitCode"] == 3


def test_what_was_not_written_down_is_not_made_up() -> None:
    told = account.whole(account.ended(a_job()), {0: account.stage(None, None)})
    assert told["stages"][0]["ran"] is True
    assert told["stages"][0]["inputs"] is None
    assert told["stages"][0]["limits"] is None


def test_texts_that_are_no_text_do_not_keep_a_receipt_from_being_made() -> None:
    broken = AlgorithmItem(image=Image(image="x\ud800"), entrypoint="run \udfff")
    stage = a_stage(algorithm=broken, datasets=(DatasetItem(did="\ud800", service_id="s"),))
    job = a_job(spec=JobSpec(stages=(stage,)), owner="\ud83d")
    told = account.whole(account.ended(job), {0: facts(command=("run", "\udfff"))})
    assert "\ufffd" in told["owner"]
    assert canonical(statement(told)).decode()


def test_only_digests_of_the_repository_that_was_asked_for_are_told() -> None:
    known = ["docker.io/library/python@sha256:1", "registry.example.org/private@sha256:2"]
    assert account.digests_of(Image(image="python"), known) == known[:1]
    assert account.digests_of(Image(image="registry.example.org/private"), known) == known[1:]


def test_the_subjects_are_the_results_or_the_job() -> None:
    assert subjects(an_account()) == [
        {"name": "0/out/tablé.csv", "digest": {"sha256": "c1" * 32}},
        {"name": "1/algorithm.log", "digest": {"sha256": "c2" * 32}},
    ]
    [subject] = subjects(an_account(replace(a_job(), results=())))
    # printf 0f4c1e0c8a6d4f5a9d3b7a1f2e6c8b90 | sha256sum
    assert subject == {
        "name": f"job/{JOB}",
        "digest": {"sha256": "9e99d1c70a7048bb559a36f993d72b351d437cdc471b648cfe0f413f1c259870"},
    }
