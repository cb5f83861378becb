"""The nouns of the ground floor, as values. Frozen; nothing here does I/O.

Times are seconds since the epoch (UTC, float), sizes are bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from compute import references
from compute.egress.rules import EgressRules
from compute.egress.verdict import Verdict
from compute.status import Goal, Phase

DID_PREFIX = "did:op:"


class Stored(BaseModel):
    """Part of a job's specification, stored as JSON. Unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Image(Stored):
    """A container image as a consumer names it.

    ``checksum`` is ``sha256:…``: a registry digest of the image or, for one that never
    saw a registry, its image id.
    """

    image: str
    tag: str = ""
    checksum: str = ""

    @classmethod
    def named(cls, text: str) -> Image:
        """The image of ``name``, ``name:tag``, ``name@sha256:…``, or both. Raises ValueError."""
        name, tag, checksum = references.parsed(text)
        return cls(image=name, tag=tag, checksum=checksum)

    @property
    def reference(self) -> str:
        """``image:tag``, or ``image@checksum`` when only the checksum is given."""
        if self.tag or not self.checksum:
            return f"{self.image}:{self.tag or 'latest'}"
        return f"{self.image}@{self.checksum}"

    def by_tag(self) -> Image:
        """What the tag alone names."""
        return self.model_copy(update={"checksum": ""})


class DatasetItem(Stored):
    """A dataset of a job, by reference. ``source`` belongs to the supplier, ``egress`` is what
    the data owner lets out, None where nothing was said."""

    did: str
    service_id: str
    source: dict[str, Any] = Field(default_factory=dict, repr=False)
    egress: EgressRules | None = None

    @property
    def short_did(self) -> str:
        """The DID without ``did:op:``: the folder name that algorithms look for."""
        return self.did.removeprefix(DID_PREFIX)


class AlgorithmItem(Stored):
    """The algorithm of a stage. ``did`` is empty for an unpublished one, ``entrypoint`` to
    run the image's own.

    ``source`` belongs to the supplier.
    """

    did: str = ""
    service_id: str = ""
    image: Image
    entrypoint: str
    custom_data: Any = Field(default=None, repr=False)
    source: dict[str, Any] = Field(default_factory=dict, repr=False)

    @property
    def short_did(self) -> str:
        return self.did.removeprefix(DID_PREFIX)


StageName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
InputName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$")
]
"""Where a file lies below a folder: a name, or a folder's and a name."""

SINGLE_STAGE = "algorithm"
"""The name of the only stage of a job that has one."""

MOST_STAGES = 16
_BYTES_A_VALUE = 64


class Stage(Stored):
    """One container of a job.

    ``files`` were handed in with the start, ``datasets`` come from the supplier.
    ``variables`` are added to those that every container has; ``secrets`` are texts that the
    supplier opens, shown by name as files that lie in memory alone. ``network`` is true only
    when the environment, and every dataset of the stage, allows it. ``max_duration_s``
    bounds the stage's run, counted from its own start.
    """

    name: StageName = SINGLE_STAGE
    algorithm: AlgorithmItem
    datasets: tuple[DatasetItem, ...] = ()
    files: tuple[InputName, ...] = ()
    variables: dict[str, str] = Field(default_factory=dict, repr=False)
    secrets: dict[StageName, str] = Field(default_factory=dict, repr=False)
    network: bool = False
    max_duration_s: int

    def forgotten(self) -> Stage:
        """Only which assets and which image it was about."""
        algorithm = self.algorithm
        return Stage(
            name=self.name,
            datasets=tuple(
                DatasetItem(did=item.did, service_id=item.service_id) for item in self.datasets
            ),
            algorithm=AlgorithmItem(
                did=algorithm.did,
                service_id=algorithm.service_id,
                image=algorithm.image,
                entrypoint="",
            ),
            network=self.network,
            max_duration_s=self.max_duration_s,
        )


class JobSpec(Stored):
    """What a consumer asked for and the provider allowed; never changes after the start.

    ``stages`` run one after the other, mostly there is one. ``documents`` are the DDOs shown
    to the algorithms, by DID. ``about`` is what a dialect wants to know of the job later; no
    business of this floor. After ``ends_by`` (seconds since the epoch, None for no such end)
    nothing of the job must run, whenever it started. ``holds`` names what only one unfinished
    job may have at a time. ``encrypt_to`` is the public key (hexadecimal) that results and logs
    are sealed to, empty for none.
    """

    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=MOST_STAGES)]
    documents: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    about: dict[str, Any] = Field(default_factory=dict, repr=False)
    ends_by: float | None = None
    holds: tuple[str, ...] = ()
    encrypt_to: str = ""
    agreement_id: str = ""

    @model_validator(mode="before")
    @classmethod
    def _without_stages(cls, values: Any) -> Any:
        """Specifications were stored with the fields of their only stage before jobs had
        several."""
        if not isinstance(values, dict) or "stages" in values:
            return values
        rest = dict(values)
        stage = {name: rest.pop(name) for name in _ONLY_STAGE if name in rest}
        return {"stages": (stage,), **rest}

    @model_validator(mode="after")
    def _distinct_stages(self) -> JobSpec:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError("two stages have one name")
        return self

    @property
    def datasets(self) -> tuple[DatasetItem, ...]:
        """Those of all stages."""
        return tuple(item for stage in self.stages for item in stage.datasets)

    @property
    def algorithm(self) -> AlgorithmItem:
        """That of the first stage: the only one's, for all jobs on published assets."""
        return self.stages[0].algorithm

    @cached_property
    def weight(self) -> int:
        """About how many bytes it takes: as JSON, and for each value in memory."""
        text = json.dumps(self.model_dump())
        return len(text) + _BYTES_A_VALUE * sum(map(text.count, ",[{"))

    @property
    def has_secrets(self) -> bool:
        return any(stage.secrets for stage in self.stages)

    def without_secrets(self) -> JobSpec:
        """What is left once nothing of the job will run any more."""
        bare = tuple(stage.model_copy(update={"secrets": {}}) for stage in self.stages)
        return self.model_copy(update={"stages": bare})

    def forgotten(self) -> JobSpec:
        """Only which assets the job was about: no code, parameter or document."""
        return JobSpec(
            stages=tuple(stage.forgotten() for stage in self.stages),
            ends_by=self.ends_by,
            holds=self.holds,
            agreement_id=self.agreement_id,
        )


_ONLY_STAGE = ("datasets", "algorithm", "network", "max_duration_s")


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One published file. ``index`` is fixed when it first appears; ``path`` is relative
    to the job's results folder and equals ``filename`` for outputs."""

    index: int
    filename: str
    filesize: int
    sha256: str
    type: Literal["output", "algorithmLog", "filteringLog"]


@dataclass(frozen=True, slots=True)
class Termination:
    """How the job ended.

    ``phase`` is where the job goes once its results are published. ``reason`` is a stable
    word, one of :class:`compute.reasons.Reason` for all that this version writes down,
    ``detail`` a sentence for people. ``exit_code`` is None when nothing ran. ``stage`` names
    the stage it ended in, empty for a job that has only one. ``tries`` is how often what
    failed was tried.
    """

    phase: Phase
    reason: str
    detail: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    stage: str = ""
    tries: int = 1


@dataclass(frozen=True, slots=True)
class StageRun:
    """How a stage ran that is over. Times are the engine's, in seconds since the epoch;
    ``pid`` was the container's process on the engine's machine, None if it was not seen."""

    stage: str
    image_id: str
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    oom_killed: bool = False
    pid: int | None = None


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Job:
    """One row of the job table.

    ``name`` is what its owner calls it, one of a kind among those in its ``namespace`` that
    are not deleted; both are empty for jobs that are known by their id alone. ``stage`` is
    the number of the stage that the phase is about; ``image_id`` is its resolved image,
    ``started_at``/``ended_at`` are the engine's times for it, ``pid`` is its process on the
    engine's machine. ``runs`` are the stages that are over. ``attempts`` counts tries of the
    present phase, ``retry_at`` is when the next is due. ``termination`` is set from the
    moment the outcome is known, before the results are published. ``filters`` counts those
    that the outputs have passed, ``verdict`` is what the rules said of them, ``held`` are what
    waits for a reviewer. ``operator`` is the
    process that works on it, empty while it waits and once it is over; ``machine`` is the
    engine it was started on, empty while it is queued, and ``gpu_devices`` are its own there.
    """

    id: str
    owner: str
    environment: str
    spec: JobSpec
    created_at: float
    namespace: str = ""
    name: str = ""
    phase: Phase = Phase.QUEUED
    goal: Goal = Goal.RUN
    stage: int = 0
    attempts: int = 0
    retry_at: float = 0.0
    image_id: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    pid: int | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    termination: Termination | None = None
    runs: tuple[StageRun, ...] = ()
    results: tuple[ResultFile, ...] = field(default=(), repr=False)
    filters: int = 0
    verdict: Verdict | None = None
    held: tuple[ResultFile, ...] = field(default=(), repr=False)
    operator: str = ""
    machine: str = ""
    gpu_devices: tuple[str, ...] = ()

    @property
    def present(self) -> Stage:
        """The stage that the phase is about."""
        return self.spec.stages[self.stage]

    @property
    def ends_by(self) -> float | None:
        """When the time that was bought is over, None for no such end."""
        return self.spec.ends_by

    @property
    def in_last_stage(self) -> bool:
        return self.stage == len(self.spec.stages) - 1


@dataclass(frozen=True, slots=True)
class Outline:
    """How a job is, without what it is about: what costs nothing to read."""

    id: str
    owner: str
    created_at: float
    finished_at: float | None
    phase: Phase


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How a job is that needs something done. ``ends_by`` is when the time that was bought is
    over, None for no such end; it is told of queued jobs only."""

    id: str
    environment: str
    phase: Phase
    goal: Goal
    operator: str
    created_at: float
    retry_at: float
    ends_by: float | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One line of a job's append-only history."""

    job_id: str
    at: float
    phase: Phase
    goal: Goal
    note: str = ""


@dataclass(frozen=True, slots=True)
class LogPart:
    """A piece of a stage's log from byte ``offset`` on.

    ``size`` is how long the log is by now. ``ended`` when it will not grow any more.
    """

    data: bytes = field(repr=False)
    offset: int
    size: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Load:
    """How full an environment is."""

    queued: int = 0
    active: int = 0


Loads = Mapping[str, Load]
