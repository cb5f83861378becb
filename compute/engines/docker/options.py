"""All that a container gets, as Docker's options. Pure.

Algorithms are hostile: what is not needed is taken away. Hardening costs no time (it was
measured), so none of it is configurable.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from docker import APIClient
from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

from compute.engines.base import JOB_LABEL, NO_NETWORK, OPERATOR_LABEL, ContainerSpec
from compute.errors import EngineRefused

TMP = "/tmp"  # noqa: S108 - a path inside the container
SHM_BYTES = 64 << 20
OPEN_FILES = 4096
"""Few enough that an engine without special rights may set it."""

MOST_VOLUMES = 32
MOST_WILLING_TO_DIE = 1000


def create_arguments(
    client: APIClient, spec: ContainerSpec, operator_id: str, volumes: Iterable[str]
) -> dict[str, Any]:
    """The arguments of ``APIClient.create_container``.

    ``volumes`` are the paths that the image declares as VOLUME. Raises EngineRefused for
    a specification that no engine should see.
    """
    command = _command(spec)
    return {
        "image": spec.image_id,
        "name": spec.name,
        "entrypoint": command[:1] or None,
        "command": command[1:] or None,
        "environment": {"HOME": TMP, **spec.environment},
        "user": spec.user,
        "working_dir": spec.working_dir,
        "labels": {JOB_LABEL: spec.job_id, OPERATOR_LABEL: operator_id},
        "stop_signal": "SIGTERM",
        # Without it the engine makes a network sandbox only to put nothing into it, which takes
        # longer than the rest of a start. The kernel's network namespace is the container's own
        # either way, and nothing but its loopback is in there.
        "network_disabled": spec.network == NO_NETWORK,
        "healthcheck": {"test": ["NONE"]},
        # The user's Docker configuration may hold proxy credentials.
        "use_config_proxy": False,
        "host_config": client.create_host_config(**_host_options(spec, volumes)),
    }


def _command(spec: ContainerSpec) -> list[str]:
    command = list(spec.command)
    if command and not command[0]:
        # Docker takes an empty entrypoint for "none" and would run the next word.
        raise EngineRefused("The entrypoint is empty")
    return command


def _host_options(spec: ContainerSpec, volumes: Iterable[str]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "network_mode": spec.network,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "privileged": False,
        "read_only": not spec.writable_root,
        "ipc_mode": "private",
        "shm_size": min(SHM_BYTES, max(1 << 20, spec.memory_bytes // 4)),
        "tmpfs": tmpfs_mounts(spec, volumes),
        "mounts": [_bind(mount.source.as_posix(), mount) for mount in spec.mounts],
        "mem_limit": spec.memory_bytes,
        "memswap_limit": spec.memory_bytes,
        "nano_cpus": round(spec.cpus * 1e9),
        "pids_limit": spec.pids,
        "ulimits": _ulimits(spec),
        "oom_score_adj": MOST_WILLING_TO_DIE,
        "log_config": _log(spec.log_bytes),
        "init": False,
    }
    if spec.gpus:
        which = {"device_ids": list(spec.gpu_devices)} if spec.gpu_devices else {"count": spec.gpus}
        options["device_requests"] = [DeviceRequest(**which, capabilities=[["gpu"]])]
    return options


def tmpfs_mounts(spec: ContainerSpec, volumes: Iterable[str]) -> Mapping[str, str]:
    """``/tmp``, and each VOLUME of the image that would else be unbounded disk."""
    how = f"rw,nosuid,nodev,exec,size={spec.tmp_bytes},mode=1777"
    taken = {posixpath.normpath(mount.target) for mount in spec.mounts}
    paths = {posixpath.normpath(posixpath.join("/", path)) for path in volumes} - taken
    if len(paths) > MOST_VOLUMES:
        raise EngineRefused(f"The image declares more than {MOST_VOLUMES} volumes")
    if "/" in paths or "//" in paths:
        raise EngineRefused("The image declares its root folder as a volume")
    return dict.fromkeys(sorted(paths | ({TMP} - taken)), how)


def _bind(source: str, mount: Any) -> Mount:
    return Mount(
        target=mount.target,
        source=source,
        type="bind",
        read_only=mount.read_only,
        propagation="rprivate",
    )


def _ulimits(spec: ContainerSpec) -> list[Ulimit]:
    limits = {"core": 0, "nofile": OPEN_FILES}
    if spec.file_bytes is not None:
        limits["fsize"] = spec.file_bytes
    return [Ulimit(name=name, soft=value, hard=value) for name, value in limits.items()]


def _log(log_bytes: int) -> LogConfig:
    # Two files of half the size: rotation drops the older one, so that at least the newest
    # half of the bound is always there and the disk never holds more than the bound.
    half = max(1, log_bytes // 2)
    return LogConfig(type="json-file", config={"max-size": str(half), "max-file": "2"})
