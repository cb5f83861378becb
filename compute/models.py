"""The nouns of the ground floor, as values. Frozen; nothing here does I/O.

Times are seconds since the epoch (UTC, float), sizes are bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    """A dataset of a job, by reference. ``source`` belongs to the supplier."""

    did: str
    service_id: str
    source: dict[str, Any] = Field(default_factory=dict, repr=False)

    @property
    def short_did(self) -> str:
        """The DID without ``did:op:``: the folder name that algorithms look for."""
        return self.did.removeprefix(DID_PREFIX)


class AlgorithmItem(Stored):
    """The algorithm of a job. ``did`` is empty for a raw one.

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


class JobSpec(Stored):
    """What a consumer asked for and the provider allowed; never changes after the start.

    ``documents`` are the DDOs shown to the algorithm, by DID. ``network`` is true only
    when the environment and every dataset allow it. ``max_duration_s`` bounds the
    algorithm's run, counted from its own start; after ``ends_by`` (seconds since the epoch,
    None for no such end) it must not run at all, whenever it started. ``holds`` names what
    only one unfinished job may have at a time.
    """

    datasets: tuple[DatasetItem, ...]
    algorithm: AlgorithmItem
    documents: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    network: bool = False
    max_duration_s: int
    ends_by: float | None = None
    holds: tuple[str, ...] = ()
    agreement_id: str = ""

    @cached_property
    def weight(self) -> int:
        """About how many bytes it is, as JSON."""
        return len(json.dumps(self.model_dump()))

    def forgotten(self) -> JobSpec:
        """Only which assets the job was about: no code, parameter or document."""
        return JobSpec(
            datasets=tuple(
                DatasetItem(did=item.did, service_id=item.service_id) for item in self.datasets
            ),
            algorithm=AlgorithmItem(
                did=self.algorithm.did,
                service_id=self.algorithm.service_id,
                image=self.algorithm.image,
                entrypoint="",
            ),
            network=self.network,
            max_duration_s=self.max_duration_s,
            ends_by=self.ends_by,
            holds=self.holds,
            agreement_id=self.agreement_id,
        )


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
    """How the algorithm ended.

    ``phase`` is where the job goes once its results are published. ``reason`` is a stable
    word (``exit_code``, ``out_of_memory``, ``time_limit``, ``paid_time_over``, ``disk_quota``,
    ``stopped``, …), ``detail`` a sentence for people. ``exit_code`` is None when nothing ran.
    """

    phase: Phase
    reason: str
    detail: str = ""
    exit_code: int | None = None
    oom_killed: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the job table.

    ``attempts`` counts tries of the present phase, ``retry_at`` is when the next is due.
    ``termination`` is set from the moment the outcome is known, before the results are
    published. ``image_id`` is the resolved image, ``started_at``/``ended_at`` are the
    engine's times for the algorithm.
    """

    id: str
    owner: str
    environment: str
    spec: JobSpec
    created_at: float
    phase: Phase = Phase.QUEUED
    goal: Goal = Goal.RUN
    attempts: int = 0
    retry_at: float = 0.0
    image_id: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    termination: Termination | None = None
    results: tuple[ResultFile, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Outline:
    """How a job is, without what it is about: what costs nothing to read."""

    id: str
    owner: str
    created_at: float
    finished_at: float | None
    phase: Phase


@dataclass(frozen=True, slots=True)
class Move:
    """One line of a job's append-only history."""

    job_id: str
    at: float
    phase: Phase
    goal: Goal
    note: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """How full an environment is."""

    queued: int = 0
    active: int = 0


Loads = Mapping[str, Load]
