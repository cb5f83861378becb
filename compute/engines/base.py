"""The contract that every engine keeps.

Every verb may be repeated and may be interrupted at any point, by cancellation or by
the death of the process; calling it again must lead to the same end. Every verb raises
EngineUnavailable when the engine does not answer (refused connection, time-out, 5xx that
is not about the request), and that never says anything about a container. A container is
known by a name derived from the job id, and labelled so that leftovers can be found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from compute import references
from compute.models import Image

JOB_LABEL = "org.oceanprotocol.compute.job"
"""Label on each container: the job it belongs to."""

OPERATOR_LABEL = "org.oceanprotocol.compute.operator"
"""Label on each container: the operator that made it. Sweeps touch no other operator's."""

BUILD_LABEL = "org.oceanprotocol.compute.build"
"""Label on all that a build makes: which build it was."""

BUILT = "ocean-compute-build"
"""Images that were built here are named ``ocean-compute-build/<name>``."""

WRONG_TAG = "The checksum is not that of the allowed tag"
"""Why an image is not to be had whose checksum belongs to another tag."""


def is_built(image: Image) -> bool:
    """True for the name of an image that is built here: no registry is ever asked for it."""
    host, path = references.split(image.image)
    return not host and path.startswith(f"{BUILT}/")


class PullPolicy(StrEnum):
    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"


class ContainerState(StrEnum):
    GONE = "gone"
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine runs on. ``id`` is the same after a restart of the engine, and another
    one for another engine."""

    id: str
    cpus: float
    memory_bytes: int


NO_NETWORK = "none"
"""A network of the container's own with nothing in it but the loopback."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path (absolute) shown in the container at ``target``."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """All that a container gets; what is not listed here it does not have.

    ``command`` replaces the image's entrypoint and command; empty keeps the image's own.
    ``network`` is ``none`` or the name of an engine network. ``user`` is ``uid:gid``.
    ``tmp_bytes`` sizes the tmpfs on ``/tmp``. ``log_bytes`` bounds the stored log (the
    newest part is kept). ``file_bytes`` is the largest single file it may write.
    ``gpu_devices`` names the devices that ``gpus`` counts; empty leaves them to the engine.
    """

    name: str
    job_id: str
    image_id: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: Sequence[Mount] = ()
    network: str = NO_NETWORK
    user: str = "65534:65534"
    cpus: float = 1.0
    memory_bytes: int = 1 << 30
    pids: int = 256
    gpus: int = 0
    gpu_devices: Sequence[str] = ()
    tmp_bytes: int = 64 << 20
    writable_root: bool = False
    log_bytes: int = 16 << 20
    file_bytes: int | None = None
    working_dir: str = "/data"


@dataclass(frozen=True, slots=True)
class Observation:
    """What the engine says of one container. Times are epoch seconds.

    ``error`` is the engine's own text when the container could not be started. ``pid`` is
    the first process on the engine's machine, None unless it runs.
    """

    state: ContainerState
    exit_code: int | None = None
    oom_killed: bool = False
    started_at: float | None = None
    finished_at: float | None = None
    error: str = ""
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """An image to be made of a folder, as the file ``Dockerfile`` in there says.

    Only regular files and folders may lie in ``context``; a ``.dockerignore`` has no effect.
    ``bases`` are the ids of the images that it builds on; one that adds steps of its own
    (ONBUILD) is refused. ``disk_bytes`` bounds what the steps of one stage add to their base,
    looked at every few seconds, and the largest file that they write. ``output_bytes`` is how
    much is kept of what the build prints, the newest part.
    """

    reference: Image
    context: Path
    memory_bytes: int
    cpus: float
    timeout_s: float
    disk_bytes: int | None = None
    bases: Sequence[str] = ()
    output_bytes: int = 64 << 10


GONE = Observation(ContainerState.GONE)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a running container takes. ``memory_bytes`` is what it holds now, without files that
    are cached for it. ``peak_bytes`` is the most that counted against its limit at once, cached
    files included, None where the engine keeps no such figure. ``cpu_s`` is the time that it
    has had of all processors together, in seconds."""

    memory_bytes: int
    peak_bytes: int | None
    cpu_s: float


@dataclass(frozen=True, slots=True)
class LogPiece:
    """The next bytes of a container's log.

    ``beginning`` is a word for the oldest entry that the engine had when the reading began
    (see :meth:`Engine.log_beginning`). ``ended`` is true for the last piece of a container
    that has ended, if nothing was left out on the way to it.
    """

    data: bytes = field(repr=False)
    beginning: str
    ended: bool = False


class Engine(ABC):
    """Runs containers. See the module's text for what holds for every verb."""

    @abstractmethod
    async def connect(self) -> None:
        """Prepare the client. Must succeed while the engine is away."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all threads and connections. Containers run on."""

    @abstractmethod
    async def ping(self) -> None:
        """Return when the engine answers."""

    @abstractmethod
    async def machine(self) -> Machine:
        """Which machine this is and how much there is of it."""

    @abstractmethod
    async def ensure_image(
        self, image: Image, policy: PullPolicy, *, tag_must_match: bool = False
    ) -> str:
        """Have the image here and return its id (``sha256:…``).

        With a checksum only an image whose registry digest or id equals it will do,
        whatever the tag points to; with ``tag_must_match`` only if the tag points to it as
        well. Raises ImageUnavailable when it is not to be had under the policy. Its text
        says why (missing, checksum, tag, registry's refusal) in words of our own: those of
        a registry are not for consumers. An image built here is never pulled.
        """

    def digests(self, image_id: str) -> Sequence[str]:
        """By which names with digests (``name@sha256:…``) registries know an image, of which a
        container was made since the start; asks nobody."""
        return ()

    @abstractmethod
    async def build(self, build: ImageBuild) -> str:
        """Build an image, give it the name and return its id (``sha256:…``).

        Its steps run as root, without a network. What is cancelled, fails or takes too long
        is cut off and leaves nothing behind. Building again gives the name to the newer
        image. Raises BuildRefused, with the end of what the build printed.
        """

    @abstractmethod
    async def built(self) -> Mapping[str, str]:
        """All images that this operator built and that still have a name: name to id."""

    @abstractmethod
    async def remove_image(self, reference: str) -> None:
        """Remove an image that this operator built. One that is gone is success.

        Raises EngineRefused for one that a container uses, running or not, and for one that
        this operator did not build; both stay.
        """

    @abstractmethod
    async def create(self, spec: ContainerSpec) -> None:
        """Make the container without starting it.

        One of this name already there counts as made. Raises EngineRefused when the
        engine rejects the specification, ImageUnavailable when the image id is gone.
        """

    @abstractmethod
    async def start(self, name: str) -> None:
        """Start a container in CREATED. In RUNNING, EXITED or GONE: does nothing.

        Never runs a container a second time. Raises EngineRefused when the container
        cannot be started (entrypoint not found, device missing); it is then EXITED or
        still CREATED.
        """

    @abstractmethod
    async def observe(self, name: str) -> Observation:
        """What the container is doing. GONE only when the engine says there is none."""

    @abstractmethod
    async def usage(self, name: str) -> Usage | None:
        """What a container takes at this moment. None in any other state than RUNNING, since the
        engine forgets it with the end, and for the moment that it takes to know something."""

    @abstractmethod
    async def stop(self, name: str, grace_s: float) -> None:
        """End a container: SIGTERM, after ``grace_s`` SIGKILL. Returns once it is down.

        In any other state than RUNNING: does nothing.
        """

    @abstractmethod
    async def save_log(self, name: str, target: Path, limit_bytes: int) -> None:
        """Write the container's output (stdout and stderr, in order) to ``target``.

        Keeps the newest part and at most ``limit_bytes``. A container that is GONE
        leaves an empty file.
        """

    @abstractmethod
    def stream_log(
        self, name: str, *, follow: bool, skip: int = 0
    ) -> AsyncGenerator[LogPiece, None]:
        """What the container has printed, oldest first, the bytes that ``save_log`` writes.

        Leaves out the first ``skip`` bytes. The first piece comes with the first entry, if
        need be without bytes. Ends with what there is now; with ``follow`` when the container
        has ended or is removed. GONE gives nothing. Reads ahead of who takes the pieces only
        a little, and lets go of all it has as soon as it is closed. Raises LogCut when the
        engine may have dropped entries before they could be read.
        """

    @abstractmethod
    async def log_beginning(self, name: str) -> str:
        """A word for the oldest entry of the log that is still there, "" if there is none.

        It becomes another one when older entries are dropped because the log is too large.
        """

    @abstractmethod
    async def remove(self, name: str) -> None:
        """Kill and remove the container with its anonymous volumes. GONE is success."""

    @abstractmethod
    async def owned(self) -> Mapping[str, str]:
        """All containers of this operator, running or not: name to job id."""

    @abstractmethod
    def events(self) -> AsyncIterator[str]:
        """Job ids of this operator's containers as these exit, for as long as one listens.

        Reconnects by itself; yields an empty text after each (re)connection, because
        events may have been missed and everything should be looked at again.
        """
