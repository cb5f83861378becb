"""What a container sees: paths, variables, command. Pure.

Both generations of images find their inputs: ``/data/inputs/<did>/<n>`` with ``DIDS`` and
``TRANSFORMATION_DID`` (Ocean's operator engine), and flat ``/data/inputs/<name>`` (Ocean
Node) as links beside them. Where Ocean's old stack handed the entrypoint to a shell, it is
split as a shell would and run directly.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from compute.engines.base import ContainerSpec, Mount
from compute.environments import Environment
from compute.models import Job

DATA = "/data"
INPUTS = "/data/inputs"
OUTPUTS = "/data/outputs"
LOGS = "/data/logs"
DDOS = "/data/ddos"
TRANSFORMATIONS = "/data/transformations"
ALGORITHM = f"{TRANSFORMATIONS}/algorithm"
CUSTOM_DATA = "algoCustomData.json"

_FILTER_SUFFIX = "-filter"


class JobFolders:
    """Where a job's things lie on the host. Nothing here touches the disk."""

    def __init__(self, data_dir: Path, job_id: str) -> None:
        self.root = data_dir / "jobs" / job_id
        self.inputs = self.root / "inputs"
        self.ddos = self.root / "ddos"
        self.transformations = self.root / "transformations"
        self.outputs = self.root / "space" / "outputs"
        self.own_logs = self.root / "space" / "logs"
        self.log = self.root / "log"
        self.local_files = self.root / "local-files.json"
        self.results = data_dir / "results" / job_id


def container_name(job_id: str) -> str:
    """The name of the algorithm's container."""
    return f"ocean-compute-{job_id}"


def filter_name(job_id: str) -> str:
    """The name of the filter's container."""
    return container_name(job_id) + _FILTER_SUFFIX


def command(entrypoint: str) -> tuple[str, ...]:
    """The entrypoint as an argument list, ``$ALGO`` replaced by the algorithm's path.

    Raises ValueError when it is empty or a quotation is left open.
    """
    words = shlex.split(entrypoint)
    if not words:
        raise ValueError("the entrypoint is empty")
    return tuple(word.replace("$ALGO", ALGORITHM) for word in words)


def variables(job: Job, secret: str) -> dict[str, str]:
    """The environment variables that old images read, and HOME on the writable tmpfs."""
    dids = list(dict.fromkeys(item.short_did for item in job.spec.datasets))
    return {
        "DIDS": json.dumps(dids),
        "TRANSFORMATION_DID": job.spec.algorithm.short_did,
        "VOLUME": DATA,
        "BASE_DIR": DATA,
        "INPUTS": INPUTS,
        "OUTPUTS": OUTPUTS,
        "LOGS": LOGS,
        "HOME": "/tmp",  # noqa: S108 (inside the container)
        "secret": secret,
    }


def algorithm_container(
    job: Job,
    environment: Environment,
    folders: JobFolders,
    local_files: Sequence[Mount],
    secret: str,
) -> ContainerSpec:
    """The algorithm's container: all limits of the environment, nothing else."""
    mounts = (
        Mount(folders.inputs, INPUTS),
        *local_files,
        Mount(folders.ddos, DDOS),
        Mount(folders.transformations, TRANSFORMATIONS),
        Mount(folders.outputs, OUTPUTS, read_only=False),
        Mount(folders.own_logs, LOGS, read_only=False),
    )
    return ContainerSpec(
        name=container_name(job.id),
        job_id=job.id,
        image_id=job.image_id,
        command=command(job.spec.algorithm.entrypoint),
        environment=variables(job, secret),
        mounts=mounts,
        network=environment.network if job.spec.network else "none",
        user=environment.user,
        cpus=environment.cpu,
        memory_bytes=environment.memory_bytes,
        pids=environment.pids,
        gpus=environment.gpu.count,
        tmp_bytes=environment.tmpMB << 20,
        writable_root=environment.writableRoot,
        log_bytes=environment.maxLogMB << 20,
        file_bytes=environment.disk_bytes,
    )


def filter_container(
    job: Job, environment: Environment, folders: JobFolders, image_id: str
) -> ContainerSpec:
    """The filter's container: outputs and log to read and rewrite, never a network."""
    return ContainerSpec(
        name=filter_name(job.id),
        job_id=job.id,
        image_id=image_id,
        command=(),
        environment=variables(job, ""),
        mounts=(
            Mount(folders.ddos, DDOS),
            Mount(folders.outputs, OUTPUTS, read_only=False),
            Mount(folders.log, LOGS, read_only=False),
        ),
        network="none",
        user=environment.user,
        cpus=environment.cpu,
        memory_bytes=environment.memory_bytes,
        pids=environment.pids,
        tmp_bytes=environment.tmpMB << 20,
        log_bytes=environment.maxLogMB << 20,
        file_bytes=environment.disk_bytes,
    )
