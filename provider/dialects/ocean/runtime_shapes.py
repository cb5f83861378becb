"""How an environment runs jobs, as types: read for the API's description alone."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from provider.openapi.operations import shape


@shape
class ImageRules(TypedDict):
    """Which images may run."""

    allow: list[str]
    """Patterns over `name`, `name:tag` or `name@checksum`."""
    pull: Literal["missing", "always", "never"]
    """When they are pulled."""
    build: bool
    """Whether images are built of Dockerfiles that callers hand in."""


@shape
class Runtime(TypedDict):
    """What decides how a job runs, by the names of the environments' file."""

    user: str
    """`uid:gid` that the algorithm runs as."""
    pids: int
    """Processes and threads at the same time at most."""
    tmpMB: int
    """Room in `/tmp`, in MiB of memory."""
    maxOutputFiles: int
    """Files and folders that it may write to its outputs."""
    maxLogMB: int
    """How much is kept of what it prints, in MiB."""
    writableRoot: bool
    """Whether it may write elsewhere than to `/tmp` and its outputs."""
    network: str
    """`none`, or the name of the network that it has where every dataset allows one."""
    networkStages: list[str]
    """Patterns over names of stages that may have it."""
    stopGrace: float
    """Seconds between being asked to stop and being killed."""
    images: ImageRules
    filterImage: str
    """An image that the outputs have to pass; empty for none."""
