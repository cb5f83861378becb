"""What a machine has to share out, and whether the environments fit it.

What the operator has not written in ``machine:`` is what the engine reports and how large the
file system of the data folder is. An environment of which not even one job fits is a mistake.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from compute.engines.base import Machine
from compute.environments import Environments
from compute.errors import EnvironmentsInvalid
from compute.fairness import GIB, MILLI, NAMES, NOTHING, Resources
from compute.store.claims import Claim, Share

log = logging.getLogger(__name__)

_FIELDS = {"cpu": "cpu", "ram": "ramGB", "disk": "diskGB", "gpu": "gpu.count"}
_KEYS = {"cpu": "cpu", "ram": "ramGB", "disk": "diskGB", "gpu": "gpu"}


def claim_on(machine: Machine, environments: Environments, data_dir: Path) -> Claim:
    """What an operator on this machine may start."""
    section = environments.machine
    disk = section.diskGB
    return Claim(
        machine=machine.id,
        capacity=Resources(
            millicpus=int((machine.cpus if section.cpu is None else section.cpu) * MILLI),
            memory_bytes=(
                machine.memory_bytes if section.ramGB is None else int(section.ramGB * GIB)
            ),
            disk_bytes=shutil.disk_usage(data_dir).total if disk is None else int(disk * GIB),
            gpus=len(section.gpu_devices),
        ),
        shares=shares_of(environments),
        gpu_devices=section.gpu_devices,
        patience_s=section.keepAfter,
    )


def shares_of(environments: Environments) -> dict[str, Share]:
    """What each environment gives."""
    return {
        one.id: Share(one.needs, one.maxJobs, one.maxJobsPerConsumer)
        for one in environments.values()
    }


def check(environments: Environments, capacity: Resources) -> None:
    """Raises EnvironmentsInvalid when a job of an environment can never fit the machine."""
    found = faults(environments, capacity)
    if found:
        raise EnvironmentsInvalid("\n".join(found))


def faults(environments: Environments, capacity: Resources) -> list[str]:
    """What of which no single job can ever fit, one line each."""
    return [
        _fault(environments.source, name, share.needs, capacity, short)
        for name, share in shares_of(environments).items()
        for short in share.needs.short_of(capacity)
    ]


def _fault(source: str, name: str, needs: Resources, capacity: Resources, short: str) -> str:
    return (
        f"{source}: {name}.{_FIELDS[short]}: one job needs {needs.amount(short):g} and the "
        f"machine has {capacity.amount(short):g}, so none could ever start; write less, or "
        f"what the machine shall count as in machine.{_KEYS[short]}"
    )


def tell(claim: Claim) -> None:
    """Log what there is, and if all places at once would not fit: some jobs wait then although
    a place is free."""
    capacity = claim.capacity
    log.info("machine_known machine=%s has=%s", claim.machine, _amounts(capacity))
    full = NOTHING
    for share in claim.shares.values():
        full += Resources(*(part * share.places for part in share.needs.parts))
    if not full.fit(capacity):
        log.warning(
            "machine_smaller_than_environments short=%s wanted=%s has=%s",
            ",".join(full.short_of(capacity)),
            _amounts(full),
            _amounts(capacity),
        )


def _amounts(resources: Resources) -> str:
    return ",".join(f"{name}:{resources.amount(name):g}" for name in NAMES)
