"""``environments.yaml``: what may be run, where, with what limits, for how much.

The file is read once at start. A mistake raises EnvironmentsInvalid with the file, the
field and the fix; nothing is guessed. Field names are those of the API's environment
object, so that an operator and a consumer use the same words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from compute import references, yaml_files
from compute.egress.rules import EnvironmentRules
from compute.engines.base import PullPolicy, is_built
from compute.errors import EnvironmentsInvalid, UnknownEnvironment
from compute.fairness import Resources
from compute.models import Image

_NOBODY = "65534:65534"
_USER = re.compile(r"[1-9][0-9]{0,8}:[0-9]{1,9}")
_LONGEST_S = 10**10
"""Some centuries: what is added to a time is still one."""
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("an Ethereum address is 0x and 40 hexadecimal digits, in quotes")
    return text.lower()


def _own_user() -> str:
    """Nobody, if the service is root; else the service's own user.

    What an algorithm leaves in nested folders can only be removed by root or by the user
    that it ran as.
    """
    return _NOBODY if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def _container_user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise ValueError('write uid:gid as numbers, in quotes, never root: "65534:65534"')
    if os.geteuid() != 0 and text.partition(":")[0] != str(os.geteuid()):
        raise ValueError(
            "a service that is not root cannot clean up what another user wrote;"
            f' leave it out, or write "{_own_user()}"'
        )
    return text


def _image_or_none(text: str) -> str:
    if text:
        Image.named(text)
    return text


Address = Annotated[str, AfterValidator(_address)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Gpu(_Section):
    """GPUs given to each job, whole devices."""

    count: Annotated[int, Field(ge=0, le=64)] = 0
    type: str = ""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One pattern over images: ``[host/]name[:tag][@checksum]``.

    A host counts as it is written; the other parts are shell patterns. Each part is held
    against its own part of the image, so that a wildcard cannot reach into the next.
    """

    host: str
    path: str
    tag: str
    checksum: str

    @classmethod
    def of(cls, text: str) -> _Pattern:
        name, _, checksum = text.partition("@")
        host, rest = references.split(name)
        path, _, tag = rest.partition(":")
        return cls(host, path, tag, checksum)

    def matches(self, image: Image) -> bool:
        """Judges what the request says; see :meth:`trusts_tag`."""
        host, path = references.split(image.image)
        paths = {path, references.familiar(image.image)[1]}
        return (
            host == self.host
            and any(fnmatchcase(each, self.path) for each in paths)
            and (not self.tag or fnmatchcase(image.tag or "latest", self.tag))
            and (not self.checksum or fnmatchcase(image.checksum, self.checksum))
        )

    def trusts_tag(self, image: Image) -> bool:
        """True when the match hangs on a tag, though the checksum says what runs."""
        return self.tag.strip("*") != "" and self.checksum != image.checksum


def _allowed(text: str) -> str:
    host, _ = references.split(text.partition("@")[0])
    if any(letter in host for letter in "*?["):
        raise ValueError(
            "write the registry's host in full, without wildcards: registry.example.org/team/*"
        )
    return text


class Images(_Section):
    """Which algorithm images may run and when they are pulled.

    ``allow`` holds patterns over ``name``, ``name:tag`` or ``name@checksum``; an empty list
    allows none. Images of a registry other than Docker Hub are allowed only by a pattern
    that begins with its host: whoever names a host decides whom the engine talks to.
    ``build`` lets callers hand in Dockerfiles; what is made of these is allowed by nothing else.
    """

    allow: tuple[Annotated[str, AfterValidator(_allowed)], ...] = Field(
        default=("*",), strict=False
    )
    pull: PullPolicy = Field(default=PullPolicy.MISSING, strict=False)
    build: bool = False

    def allows(self, image: Image) -> bool:
        if is_built(image):
            # Its name alone is anybody's guess; the checksum only its owner was told.
            return self.build and bool(image.checksum)
        return bool(self._matching(image))

    def tag_must_match(self, image: Image) -> bool:
        """True when the image is allowed only if it really has the tag it is asked for by.

        A checksum decides what runs, and a request may write any tag beside it. Whether
        the two belong together only the engine can tell.
        """
        found = self._matching(image)
        return bool(image.checksum and found) and all(each.trusts_tag(image) for each in found)

    def _matching(self, image: Image) -> list[_Pattern]:
        if is_built(image):
            return []
        return [each for each in map(_Pattern.of, self.allow) if each.matches(image)]


_Devices = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(strict=False)
]


class MachineSection(_Section):
    """What jobs may take of the machine together. What is not written is what the engine and
    the file system of DATA_DIR say; GPUs are none unless written, as a number (devices 0, 1, …)
    or as a list of the engine's names for them. Room is kept for a job that has not fitted for
    ``keepAfter`` seconds."""

    cpu: Annotated[float, Field(gt=0, le=65536)] | None = None
    ramGB: Annotated[float, Field(gt=0, le=1048576)] | None = None
    diskGB: Annotated[float, Field(gt=0, le=1073741824)] | None = None
    gpu: Annotated[int, Field(ge=0, le=1024)] | _Devices = 0
    keepAfter: Annotated[int, Field(ge=0)] = 60

    @model_validator(mode="after")
    def _distinct_devices(self) -> MachineSection:
        if len(set(self.gpu_devices)) != len(self.gpu_devices):
            raise ValueError("gpu: a device is listed twice; list each once")
        return self

    @property
    def gpu_devices(self) -> tuple[str, ...]:
        if isinstance(self.gpu, int):
            return tuple(map(str, range(self.gpu)))
        return self.gpu


class Consumers(_Section):
    """Wallets that may use the environment. An empty ``allow`` means everyone not denied."""

    allow: tuple[Address, ...] = Field(default=(), strict=False)
    deny: tuple[Address, ...] = Field(default=(), strict=False)

    def allows(self, address: str) -> bool:
        wallet = address.lower()
        return wallet not in self.deny and (not self.allow or wallet in self.allow)


class Price(_Section):
    """What a minute costs on one chain, in whole ``token`` units (exact decimal text)."""

    token: Address
    perMinute: Annotated[Decimal, Field(ge=0, max_digits=36, decimal_places=18, strict=False)]


class Environment(_Section):
    """One environment. Comments in the shipped ``environments.yaml`` explain each field."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    description: str = ""
    cpu: Annotated[float, Field(gt=0, le=1024)] = 1.0
    cpuType: str = ""
    ramGB: Annotated[float, Field(ge=0.016, le=65536)] = 1.0
    diskGB: Annotated[float, Field(ge=0.001, le=1048576)] = 1.0
    gpu: Gpu = Gpu()
    maxJobs: Annotated[int, Field(ge=1, le=10000)] = 1
    maxJobsPerConsumer: Annotated[int, Field(ge=1)] | None = None
    maxQueue: Annotated[int, Field(ge=0)] = 1000
    maxQueuePerConsumer: Annotated[int, Field(ge=1)] = 100
    maxQueueWait: Annotated[int, Field(ge=1, le=_LONGEST_S)] = 24 * 3600
    maxJobDuration: Annotated[int, Field(ge=1, le=_LONGEST_S)] = 3600
    storageExpiry: Annotated[int, Field(ge=1, le=_LONGEST_S)] = 7 * 24 * 3600
    stopGrace: Annotated[float, Field(ge=0, le=60)] = 3.0
    maxOutputFiles: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    maxLogMB: Annotated[int, Field(ge=1, le=102400)] = 16
    tmpMB: Annotated[int, Field(ge=1, le=1048576)] = 64
    pids: Annotated[int, Field(ge=1, le=100_000)] = 256
    writableRoot: bool = False
    user: Annotated[str, AfterValidator(_container_user)] = Field(default_factory=_own_user)
    network: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "none"
    networkStages: tuple[str, ...] = Field(default=("*",), strict=False)
    images: Images = Images()
    consumers: Consumers = Consumers()
    prices: Mapping[Annotated[int, Field(ge=1, strict=False)], Price] = Field(default_factory=dict)
    filterImage: Annotated[str, AfterValidator(_image_or_none)] = ""
    egress: EnvironmentRules = EnvironmentRules()
    consumerAddress: Address | None = None

    @model_validator(mode="after")
    def _no_shared_namespace(self) -> Environment:
        if self.network in {"host", "container"}:
            raise ValueError(
                "network: an algorithm never shares the host's network; "
                "write none, bridge, or the name of a Docker network of yours"
            )
        return self

    @property
    def memory_bytes(self) -> int:
        return int(self.ramGB * (1 << 30))

    @property
    def disk_bytes(self) -> int:
        return int(self.diskGB * (1 << 30))

    @property
    def needs(self) -> Resources:
        """What each job takes of the machine while it is active."""
        return Resources.of(
            cpus=self.cpu,
            memory_bytes=self.memory_bytes,
            disk_bytes=self.disk_bytes,
            gpus=self.gpu.count,
        )

    def gives_network(self, stage: str) -> bool:
        """True when a stage of this name may have the environment's network."""
        names = self.networkStages
        return self.network != "none" and any(fnmatchcase(stage, name) for name in names)

    @property
    def free(self) -> bool:
        """True when no chain has a price above nothing."""
        return all(price.perMinute == 0 for price in self.prices.values())


class Environments(Mapping[str, Environment]):
    """The environments by id, in the file's order. ``machine`` bounds all of them together;
    ``source`` names the file in texts."""

    def __init__(
        self,
        environments: tuple[Environment, ...],
        machine: MachineSection | None = None,
        source: str = "environments",
    ) -> None:
        self.machine = machine or MachineSection()
        self.source = source
        self._by_id = {environment.id: environment for environment in environments}

    def __getitem__(self, environment_id: str) -> Environment:
        try:
            return self._by_id[environment_id]
        except KeyError:
            raise UnknownEnvironment("Compute environment does not exist") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, environment_id: object) -> bool:
        return environment_id in self._by_id


class _File(_Section):
    machine: MachineSection = MachineSection()
    environments: tuple[Environment, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _distinct(self) -> _File:
        if not self.environments:
            raise ValueError("the list is empty; write at least one environment")
        ids = [environment.id for environment in self.environments]
        doubles = sorted({i for i in ids if ids.count(i) > 1})
        if doubles:
            raise ValueError(f"id {', '.join(doubles)} is used twice; give each its own")
        return self


def load(path: Path) -> Environments:
    """Read and check the file. Raises EnvironmentsInvalid."""
    try:
        text = yaml_files.read_text(path)
    except yaml_files.YamlInvalid as error:
        raise EnvironmentsInvalid(
            f"{path}: {error}; "
            "name the file in ENVIRONMENTS_FILE or copy the shipped environments.yaml"
        ) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Environments:
    """Check the text of an environments file; ``name`` is used in error texts."""
    try:
        document = yaml_files.parse(text)
    except yaml_files.YamlInvalid as error:
        raise EnvironmentsInvalid(f"{name}: {error}") from error
    if not isinstance(document, dict):
        raise EnvironmentsInvalid(
            f"{name}: the top level must be `environments:` followed by a list of environments"
        )
    try:
        file = _File.model_validate(document)
        return Environments(file.environments, file.machine, name)
    except ValidationError as error:
        lines = yaml_files.explained(error, document, "environments")
        raise EnvironmentsInvalid("\n".join(f"{name}: {line}" for line in lines)) from error
