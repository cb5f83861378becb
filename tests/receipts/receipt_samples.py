"""Jobs and what they were given, for tests of accounts and receipts."""

from __future__ import annotations

from typing import Any

from compute import account
from compute.digests import Digest
from compute.egress.verdict import Decision, Finding, Outcome, Verdict
from compute.engines.base import ContainerSpec
from compute.environments import Environment
from compute.models import (
    AlgorithmItem,
    DatasetItem,
    Image,
    Job,
    JobSpec,
    ResultFile,
    Stage,
    StageRun,
    Termination,
)
from compute.staged import Staged, StagedInput
from compute.status import Phase
from provider.keys import ProviderKey

KEY = ProviderKey(bytes.fromhex("11" * 32))
STRANGER = ProviderKey(bytes.fromhex("22" * 32))
OWNER = "0x" + "12" * 20
REVIEWER = "0x" + "34" * 20
DID = "did:op:" + "a1" * 32
JOB = "0f4c1e0c8a6d4f5a9d3b7a1f2e6c8b90"
IMAGE_ID = "sha256:" + "0b" * 32


def a_stage(name: str = "algorithm", **changes: Any) -> Stage:
    values: dict[str, Any] = {
        "name": name,
        "algorithm": AlgorithmItem(
            image=Image(image="python", tag="3.11", checksum="sha256:" + "0a" * 32),
            entrypoint="python3 $ALGO",
            custom_data={"secret parameter": "told to nobody"},
            source={"rawcode": "print('the program itself')"},
        ),
        "datasets": (
            DatasetItem(did=DID, service_id="s1", source={"userdata": {"who": "secret user"}}),
        ),
        "variables": {"PASSWORD": "secret variable"},
        "secrets": {"database": "sealed:secret database"},
        "max_duration_s": 60,
    }
    return Stage(**(values | changes))


def a_run(stage: str = "algorithm", **changes: Any) -> StageRun:
    values: dict[str, Any] = {
        "stage": stage,
        "image_id": IMAGE_ID,
        "started_at": 1_700_000_010.25,
        "ended_at": 1_700_000_020.5,
        "exit_code": 0,
        "pid": 4242,
    }
    return StageRun(**(values | changes))


def a_job(**changes: Any) -> Job:
    """A job that has come to its end."""
    values: dict[str, Any] = {
        "id": JOB,
        "owner": OWNER,
        "environment": "small",
        "spec": JobSpec(stages=(a_stage(),), agreement_id="0x" + "7a" * 32),
        "created_at": 1_700_000_000.0,
        "finished_at": 1_700_000_030.0,
        "phase": Phase.COMPLETED,
        "termination": Termination(Phase.COMPLETED, "completed", "", 0),
        "runs": (a_run(),),
        "results": (
            ResultFile(0, "out/tablé.csv", 4, "c1" * 32, "output"),
            ResultFile(1, "algorithm.log", 6, "c2" * 32, "algorithmLog"),
        ),
        "operator": "an-operator",
        "machine": "a-machine",
        "pid": 4242,
    }
    return Job(**(values | changes))


def held(**changes: Any) -> Verdict:
    rule = "maxFiles: at most 3 files"
    values: dict[str, Any] = {
        "fired": (rule,),
        "reviewers": (REVIEWER,),
        "decision": Decision.RELEASED,
        "by": REVIEWER,
        "at": 1_700_000_025.0,
    }
    waiting = Finding(DID, Outcome.HOLD, **(values | changes))
    return Verdict((Finding("environment", Outcome.PASS), waiting), hold_s=60)


def facts(**changes: Any) -> account.Facts:
    """Of a stage that ran."""
    environment = Environment(id="small", cpu=1.5, ramGB=0.5, diskGB=0.5, user="65534:65534")
    values: dict[str, Any] = {
        "name": "ocean-compute-x",
        "job_id": JOB,
        "image_id": IMAGE_ID,
        "command": ("python3", "/data/transformations/algorithm"),
        "environment": {"secret": "told to nobody"},
        "cpus": environment.cpu,
        "memory_bytes": environment.memory_bytes,
    }
    container = ContainerSpec(**(values | changes))
    staged = Staged(
        inputs=(StagedInput(DID, "s1", 0, "d1" * 32, 8, in_place=True),),
        custom_data=Digest("d2" * 32, 2),
        algorithm=(Digest("d3" * 32, 27),),
    )
    how = account.launched(container, environment, ["python@sha256:" + "0a" * 32])
    return account.stage(staged, how)


def an_account(job: Job | None = None) -> dict[str, Any]:
    return account.whole(account.ended(job or a_job()), {0: facts()})
