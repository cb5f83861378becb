"""Small jobs, environments and a clock in hand for the tests of the ground floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compute.environments import Environment
from compute.models import AlgorithmItem, DatasetItem, Image, Job, JobSpec, Stage

DID = "did:op:" + "a1" * 32
OTHER_DID = "did:op:" + "b2" * 32
OWNER = "0x" + "12" * 20


@dataclass
class Clock:
    """Time that stands still until a test moves it."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def a_spec(**changes: Any) -> JobSpec:
    """A small job's specification; ``changes`` are fields of it."""
    values: dict[str, Any] = {
        "datasets": (DatasetItem(did=DID, service_id="s1"),),
        "algorithm": AlgorithmItem(image=Image(image="python", tag="3.11"), entrypoint="run $ALGO"),
        "max_duration_s": 60,
    }
    return JobSpec(**(values | changes))


def a_spec_of_stages(*names: str, **changes: Any) -> JobSpec:
    """A job of several stages, each with an image ``lab/<name>:1`` of its own; ``changes`` are
    fields of every stage."""
    stages = (a_stage(name, **changes) for name in names)
    return JobSpec(stages=tuple(stages))


def a_stage(name: str = "algorithm", **changes: Any) -> Stage:
    values: dict[str, Any] = {
        "name": name,
        "algorithm": AlgorithmItem(image=Image(image=f"lab/{name}", tag="1"), entrypoint=""),
        "max_duration_s": 60,
    }
    return Stage(**(values | changes))


def a_job(**changes: Any) -> Job:
    """A job as the store would return it; ``changes`` are fields of it."""
    values: dict[str, Any] = {
        "id": "0" * 31 + "1",
        "owner": OWNER,
        "environment": "small",
        "spec": a_spec(),
        "created_at": 1000.0,
    }
    return Job(**(values | changes))


def an_environment(**changes: Any) -> Environment:
    """An environment of small limits; ``changes`` are its fields as in the file."""
    values: dict[str, Any] = {"id": "small", "diskGB": 0.001, "maxOutputFiles": 20}
    return Environment.model_validate(values | changes)
