"""Having the image that was asked for, and no other.

An image is named by a consumer, so its parts are checked against the grammar of image
references before the engine sees them. A checksum is the name that counts: with one, a
tag is only where to look, and what a name resolves to must be the checksum itself.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from docker import APIClient
from docker.auth import get_config_header, resolve_repository_name
from docker.errors import APIError, DockerException, NotFound
from urllib3.exceptions import ReadTimeoutError

from compute import references
from compute.engines.base import PullPolicy
from compute.engines.docker.calls import Answer, request
from compute.engines.docker.errors import explanation, meaning
from compute.errors import ImageUnavailable
from compute.models import Image

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_KNOWN = 1000
"""Images, and names of images, that facts are kept of."""

PULL_SILENCE_S = 60.0
"""Longest pause between two lines of a pull's progress."""

_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")


def check_reference(image: Image) -> None:
    """Raises ImageUnavailable when this is not the name of an image."""
    if not references.is_name(image.image):
        raise ImageUnavailable("The image's name is not a valid repository name")
    if image.tag and not _TAG.fullmatch(image.tag):
        raise ImageUnavailable("The image's tag is not valid")
    if image.checksum and not _CHECKSUM.fullmatch(image.checksum):
        raise ImageUnavailable("The image's checksum is not sha256: and 64 hexadecimal digits")


@dataclass(frozen=True, slots=True)
class Facts:
    """Of an image: the VOLUME paths that it declares, and ``name@sha256:…`` for each registry's
    repository that it came from, sorted."""

    volumes: tuple[str, ...]
    digests: tuple[str, ...]


class Known:
    """What the engine has said of images so far, so that it need not be asked twice for one job.
    An image never changes under its id; that it is still here is another question."""

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}
        self._ids: dict[str, str] = {}

    def note(self, found: Mapping[str, Any]) -> Facts:
        """Keep what the engine says of an image."""
        volumes = (found.get("Config") or {}).get("Volumes") or {}
        digests = sorted(map(str, found.get("RepoDigests") or ()))
        facts = Facts(tuple(volumes), tuple(digests))
        _keep(self._facts, str(found["Id"]), facts)
        return facts

    def facts(self, image_id: str) -> Facts | None:
        return self._facts.get(image_id)

    def note_id(self, reference: str, image_id: str) -> None:
        """Keep which image has this checksum."""
        _keep(self._ids, reference, image_id)

    def id_of(self, reference: str) -> str | None:
        return self._ids.get(reference)


def _keep(kept: dict[str, T], key: str, value: T) -> None:
    if len(kept) >= _MOST_KNOWN:
        kept.clear()
    kept[key] = value


class Images:
    """Looks up and pulls images with one client, in the caller's thread."""

    def __init__(
        self, client: APIClient, known: Known | None = None, *, silence_s: float = PULL_SILENCE_S
    ) -> None:
        self._client = client
        self._known = known or Known()
        self._silence_s = silence_s

    def present(self, image: Image) -> str | None:
        """The id of the image when it is here and is the one asked for, else None."""
        if not image.checksum:
            return _id(self._inspect(image.reference))
        reference = f"{image.image}@{image.checksum}"
        # The checksum is a registry's, or an image's own id. Which one, is known by the next time.
        known = self._known.id_of(reference)
        for name in dict.fromkeys((known or reference, reference, image.checksum)):
            found = self._inspect(name)
            if found is not None and (name == reference or _is_named(found, image.image)):
                self._known.note_id(reference, str(found["Id"]))
                return _id(found)
        return None

    def facts(self, image_id: str) -> Facts:
        """Raises docker.errors.NotFound."""
        return self._known.note(inspect(self._client, image_id))

    def missing(self, image: Image) -> ImageUnavailable:
        """Why the image is not here, for a policy that does not pull."""
        name = f"{image.image}:{image.tag or 'latest'}"
        if image.checksum and self._inspect(name) is not None:
            return ImageUnavailable(f"Image {name} is here but its checksum is not the one given")
        return ImageUnavailable(f"Image {image.reference} is not on this machine")

    def pull(self, image: Image, answer: Answer) -> None:
        """Pull by checksum when there is one, else by tag. Raises ImageUnavailable."""
        try:
            response = request(
                self._client,
                "POST",
                "/images/create",
                params={"fromImage": image.image, "tag": image.checksum or image.tag or "latest"},
                headers=self._credentials(image.image),
                silence_s=self._silence_s,
            )
            for line in answer.lines(response):
                _check_progress(image, line)
        except APIError as error:
            raise _refusal(image, error) from error
        except requests.RequestException as error:
            if not _is_silence(error):
                raise
            # The engine answered a moment ago: it is the registry that says nothing.
            raise _failure(image, UNREACHABLE, temporary=True) from error

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        try:
            found = inspect(self._client, reference)
        except NotFound:
            return None
        self._known.note(found)
        return found

    def _credentials(self, repository: str) -> dict[str, str | bytes]:
        try:
            registry, _ = resolve_repository_name(repository)
            header = get_config_header(self._client, registry)
        except (DockerException, OSError) as error:
            raise ImageUnavailable("The registry's credentials could not be read") from error
        return {"X-Registry-Auth": header} if header else {}


def inspect(client: Any, reference: str) -> dict[str, Any]:
    """The engine's description of an image. Raises docker.errors.NotFound."""
    found: dict[str, Any] = client.inspect_image(reference)
    return found


def ensure(images: Images, image: Image, policy: PullPolicy, answer: Answer) -> str:
    """Have the image here by the policy and return its id."""
    wanted = None if policy is PullPolicy.ALWAYS and not image.checksum else images.present(image)
    if wanted is None:
        if policy is PullPolicy.NEVER:
            raise images.missing(image)
        log.info("image.pull reference=%s", image.reference)
        images.pull(image, answer)
        wanted = images.present(image)
    if wanted is None:
        raise images.missing(image)
    return wanted


def _id(found: dict[str, Any] | None) -> str | None:
    return str(found["Id"]) if found else None


def _is_named(found: dict[str, Any], repository: str) -> bool:
    """True when the image has this repository's name: an id alone is open to guessing."""
    tags = (str(tag).rpartition(":")[0] for tag in found.get("RepoTags") or ())
    digests = (str(digest).partition("@")[0] for digest in found.get("RepoDigests") or ())
    return references.familiar(repository) in map(references.familiar, (*tags, *digests))


NOT_FOUND = "not found"
DENIED = "access denied"
UNREACHABLE = "the registry cannot be reached"
WRONG_CHECKSUM = "not the checksum asked for"
TOO_OFTEN = "the registry asks to wait"
OTHER_MACHINE = "not made for this kind of machine"
OTHER = "the registry or the engine refuses"

_MEANINGS = (
    (
        re.compile(r"does not match|unexpected digest|verification failed|digest mismatch", re.I),
        WRONG_CHECKSUM,
        False,
    ),
    (re.compile(r"no matching manifest", re.I), OTHER_MACHINE, False),
    (
        re.compile(r"toomanyrequests|too many requests|pull rate limit|HTTP 429", re.I),
        TOO_OFTEN,
        True,
    ),
    (
        re.compile(
            r"dial |no such host|connection re(?:fused|set)|i/o timeout|time-?out|x509|tls:"
            r"|\bEOF\b|server gave HTTP|request canceled|deadline exceeded|unreachable|no route"
            r"|temporary failure|proxyconnect|bad gateway|service unavailable",
            re.I,
        ),
        UNREACHABLE,
        True,
    ),
    (re.compile(r"not found|manifest unknown|does not exist|name unknown", re.I), NOT_FOUND, False),
    (
        re.compile(r"denied|unauthori[sz]ed|forbidden|authentication required|credentials", re.I),
        DENIED,
        False,
    ),
    (re.compile(r"invalid reference|unsupported", re.I), OTHER, False),
)
"""What words of a registry or of the engine mean, and whether asking again may help."""

_QUERY = re.compile(r"\?[^\s\"']+")
_USERINFO = re.compile(r"//[^\s/@]+@")
_LONGEST = 500


def not_pulled(image: Image, reason: str) -> str:
    """The text for consumers; ``reason`` is one of ours."""
    return f"Image {image.reference} cannot be pulled: {reason}"


def told(words: str) -> str:
    """A registry's words for the operator's log: one line, without what may be secret."""
    line = _USERINFO.sub("//", _QUERY.sub("?…", " ".join(words.split())))
    return "".join(letter for letter in line if letter.isprintable())[:_LONGEST]


def _check_progress(image: Image, line: bytes) -> None:
    try:
        step = json.loads(line)
    except ValueError:
        return
    words = step.get("error") if isinstance(step, dict) else None
    if words:
        raise _explained(image, str(words))


def _refusal(image: Image, error: APIError) -> Exception:
    """The registry's no, passed on by the engine; or the engine's own trouble."""
    if error.status_code in {502, 503, 504}:
        return meaning(error)
    return _explained(image, explanation(error))


def _explained(image: Image, words: str) -> ImageUnavailable:
    """A registry is anybody's machine: its words choose among ours, and go no further."""
    log.info("image.not_pulled reference=%s words=%s", image.reference, told(words))
    # The name is the consumer's choice and no sign of anything.
    signs = words.replace(image.image, "")
    for pattern, reason, temporary in _MEANINGS:
        if pattern.search(signs):
            return _failure(image, reason, temporary=temporary)
    return _failure(image, OTHER, temporary=True)


def _failure(image: Image, reason: str, *, temporary: bool) -> ImageUnavailable:
    return ImageUnavailable(not_pulled(image, reason), temporary=temporary)


def _is_silence(error: requests.RequestException) -> bool:
    """True for a time-out; one amid an answer comes wrapped."""
    causes = (error, *error.args)
    return any(isinstance(one, requests.ReadTimeout | ReadTimeoutError) for one in causes)
