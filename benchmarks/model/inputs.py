"""What the model is fed with: service times, each measured alone and in the small."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Writes:
    """What a transaction takes of the one who writes: ``base_s`` by the clock, and for each unit
    of work that shares it ``nonce_s`` or, for one of a job, ``move_s``. Processor seconds of a
    unit are the database server's as well, in transactions that many share."""

    base_s: float
    nonce_s: float
    move_s: float
    nonce_cpu_s: float
    move_cpu_s: float


@dataclass(frozen=True)
class Container:
    """A container from its creation until it is removed, at so many at once: seconds of the
    clock from one to the next, of processors, and of the process that drives the engine."""

    wall_s: float
    cpu_s: float
    client_s: float


@dataclass(frozen=True)
class Transfer:
    """Bytes a second of one stream, and processor seconds a byte."""

    bytes_per_s: float
    byte_cpu_s: float


@dataclass(frozen=True)
class ServiceTimes:
    """All seconds are of one processor, but for those called ``wall``.

    ``status_s``, ``start_s`` and ``result_s`` are requests with a signature each, of the
    process that serves. ``operator_s`` is what a job costs the process that operates it,
    ``helpers_s`` the programs that it starts for the job's space, ``kernel_s`` what is left of
    a whole job beyond all that and the container itself (``containers``, by how many there are
    at once). Of a container's processor time the share ``beside`` is not on its way, see
    :mod:`benchmarks.model.beside`. ``job_wall_s`` is from one job's place to the next one's, one
    at a time; ``phases`` are its parts by the clock. ``writes`` are by kind of database,
    ``units_a_job`` are units of work in the store, without the one that accepts it.
    """

    machine: str
    measured: str
    cores: int
    signature_s: float
    status_s: float
    start_s: float
    result_s: float
    writes: Mapping[str, Writes]
    units_a_job: float
    operator_s: float
    helpers_s: float
    kernel_s: float
    containers: Mapping[int, Container]
    beside: float
    job_wall_s: float
    phases: Mapping[str, float]
    staging: Transfer
    egress: Transfer

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> ServiceTimes:
        found = json.loads(path.read_text())
        found["writes"] = {name: Writes(**each) for name, each in found["writes"].items()}
        found["containers"] = {
            int(number): Container(**each) for number, each in found["containers"].items()
        }
        found["staging"] = Transfer(**found["staging"])
        found["egress"] = Transfer(**found["egress"])
        return cls(**found)

    def container_s(self, at_once: int) -> float:
        """Processor seconds of a container when so many run at once; those of the most that
        were measured beyond that."""
        known = [number for number in sorted(self.containers) if number <= at_once]
        return self.containers[known[-1] if known else min(self.containers)].cpu_s

    def job_s(self, at_once: int) -> float:
        """Processor seconds that a job costs its machine, from its place on."""
        own = self.operator_s + self.helpers_s + self.kernel_s
        return own + self.container_s(at_once)
