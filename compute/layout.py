"""What a container sees: paths, variables, command. Pure.

Both generations of images find their inputs: ``/data/inputs/<did>/<n>`` with ``DIDS`` and
``TRANSFORMATION_DID`` (Ocean's operator engine), and flat ``/data/inputs/<name>`` (Ocean
Node) as links beside them. Where Ocean's old stack handed the entrypoint to a shell, it is
split as a shell would and run directly.

Each stage of a job has folders of its own for what it writes, all in the job's one bounded
space. A later stage sees what the earlier ones wrote in ``/data/inputs/stages/<n>``, counted
from 0. The first stage's folders and container have plain names: jobs with one stage are the
rule, and what a former version made is found by them.
"""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from compute.engines.base import NO_NETWORK, ContainerSpec, Mount
from compute.environments import Environment
from compute.models import Job, JobSpec

DATA = "/data"
INPUTS = "/data/inputs"
OUTPUTS = "/data/outputs"
LOGS = "/data/logs"
DDOS = "/data/ddos"
TRANSFORMATIONS = "/data/transformations"
ALGORITHM = f"{TRANSFORMATIONS}/algorithm"
CUSTOM_DATA = "algoCustomData.json"
STAGES = "stages"
SECRETS = "/run/secrets"
HOSTS = "/etc/hosts"
LOOPBACK = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
"""What is in there."""
LOG_NAME = "algorithm.log"

_FILTER_SUFFIX = "-filter"
_NONE: Mapping[str, Path] = MappingProxyType({})


class JobFolders:
    """Where the things of a job's stage lie on the host. Nothing here touches the disk.

    ``given`` holds the files that came with the start, ``log`` the logs of all stages that
    are over.
    """

    def __init__(self, data_dir: Path, job_id: str, stage: int = 0) -> None:
        self.root = data_dir / "jobs" / job_id
        self.given = self.root / "given"
        self.inputs = self.root / "inputs"
        self.ddos = self.root / "ddos"
        self.transformations = self.root / "transformations"
        self.space = self.root / "space"
        self.space_folders = (_of_stage("outputs", stage), _of_stage("logs", stage))
        self.outputs = self.space / self.space_folders[0]
        self.own_logs = self.space / self.space_folders[1]
        self.log = self.root / "log"
        self.local_files = self.root / "local-files.json"
        self.hosts = self.root / "hosts"
        self.filtered = self.root / "filtered"
        """There once a filter's container may be, whatever is configured by now."""
        self.staged = self.staged_of(stage)
        self.launched = self.root / f"{_of_stage('launched', stage)}.json"
        self.results = data_dir / "results" / job_id
        self.held = data_dir / "held" / job_id

    def outputs_of(self, stage: int) -> Path:
        """What a stage has written."""
        return self.space / _of_stage("outputs", stage)

    def staged_of(self, stage: int) -> Path:
        """What a stage was given, written down: see :mod:`compute.staged`."""
        return self.root / f"{_of_stage('staged', stage)}.json"


@functools.lru_cache(maxsize=128)
def folders_of(data_dir: Path, job_id: str, stage: int) -> JobFolders:
    """Those of a stage; each step of a job asks for them anew."""
    return JobFolders(data_dir, job_id, stage)


def _of_stage(name: str, stage: int) -> str:
    return f"{name}-{stage}" if stage else name


def container_name(job_id: str, stage: int = 0) -> str:
    """The name of a stage's container."""
    return _of_stage(f"ocean-compute-{job_id}", stage)


def filter_name(job_id: str, number: int = 0) -> str:
    """The name of a filter's container; the first one's has no number."""
    return _of_stage(container_name(job_id) + _FILTER_SUFFIX, number)


def log_name(spec: JobSpec, stage: int) -> str:
    """The file name of a stage's log among the results."""
    return LOG_NAME if len(spec.stages) == 1 else f"{spec.stages[stage].name}.log"


def command(entrypoint: str) -> tuple[str, ...]:
    """The entrypoint as an argument list, ``$ALGO`` replaced by the algorithm's path.

    Raises ValueError when it is empty or a quotation is left open.
    """
    words = shlex.split(entrypoint)
    if not words:
        raise ValueError("the entrypoint is empty")
    return tuple(word.replace("$ALGO", ALGORITHM) for word in words)


def variables(job: Job, secret: str) -> dict[str, str]:
    """The stage's own environment variables, those that old images read, and HOME on the
    writable tmpfs. A stage cannot take the place of what says where its files are."""
    stage = job.present
    dids = list(dict.fromkeys(item.short_did for item in stage.datasets))
    return {
        **stage.variables,
        "DIDS": json.dumps(dids),
        "TRANSFORMATION_DID": stage.algorithm.short_did,
        "STAGE": stage.name,
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
    secret_files: Mapping[str, Path] = _NONE,
) -> ContainerSpec:
    """The container of the present stage: all limits of the environment, nothing else.
    ``folders`` are that stage's, ``secret_files`` its secrets by name."""
    stage = job.present
    entrypoint = stage.algorithm.entrypoint
    mounts = (
        Mount(folders.inputs, INPUTS),
        *local_files,
        *(
            Mount(folders.outputs_of(number), f"{INPUTS}/{STAGES}/{number}")
            for number in range(job.stage)
        ),
        *(Mount(path, f"{SECRETS}/{name}") for name, path in sorted(secret_files.items())),
        Mount(folders.ddos, DDOS),
        Mount(folders.transformations, TRANSFORMATIONS),
        Mount(folders.outputs, OUTPUTS, read_only=False),
        Mount(folders.own_logs, LOGS, read_only=False),
    )
    network = environment.network if stage.network else NO_NETWORK
    return ContainerSpec(
        name=container_name(job.id, job.stage),
        job_id=job.id,
        image_id=job.image_id,
        command=command(entrypoint) if entrypoint else (),
        environment=variables(job, secret),
        mounts=(*mounts, *_names(folders, network)),
        network=network,
        user=environment.user,
        cpus=environment.cpu,
        memory_bytes=environment.memory_bytes,
        pids=environment.pids,
        gpus=environment.gpu.count,
        gpu_devices=job.gpu_devices,
        tmp_bytes=environment.tmpMB << 20,
        writable_root=environment.writableRoot,
        log_bytes=environment.maxLogMB << 20,
        file_bytes=environment.disk_bytes,
    )


def filter_container(
    job: Job, environment: Environment, folders: JobFolders, image_id: str
) -> ContainerSpec:
    """The present filter's container: outputs and log to read and rewrite, never a network."""
    return ContainerSpec(
        name=filter_name(job.id, job.filters),
        job_id=job.id,
        image_id=image_id,
        command=(),
        environment=variables(job, ""),
        mounts=(
            Mount(folders.ddos, DDOS),
            Mount(folders.outputs, OUTPUTS, read_only=False),
            Mount(folders.log, LOGS, read_only=False),
            *_names(folders, NO_NETWORK),
        ),
        network=NO_NETWORK,
        user=environment.user,
        cpus=environment.cpu,
        memory_bytes=environment.memory_bytes,
        pids=environment.pids,
        tmp_bytes=environment.tmpMB << 20,
        log_bytes=environment.maxLogMB << 20,
        file_bytes=environment.disk_bytes,
    )


def _names(folders: JobFolders, network: str) -> tuple[Mount, ...]:
    """An engine tells a container its own name where it gives it a network, and nobody what
    ``localhost`` is where it does not."""
    return (Mount(folders.hosts, HOSTS),) if network == NO_NETWORK else ()
