"""What an answer of the Docker Engine means. Pure, apart from reading the exception.

The engine's status codes do not tell its own faults from mistakes of a request: 20.10
answers 400 for a missing entrypoint, 404 for a missing network and 500 for a missing
device. So its words decide, and what is not recognised counts as the engine's own fault,
because that is retried a bounded number of times and then fails all the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException

from compute.errors import (
    ComputeError,
    EngineFault,
    EngineRefused,
    EngineUnavailable,
    EntrypointRefused,
)

SILENT = "The container engine does not answer"
FAULTY = "The container engine answers with a fault of its own"

log = logging.getLogger(__name__)

_BUSY = re.compile(
    r"cannot allocate memory|no space left on device|resource temporarily unavailable"
    r"|deadline exceeded|context canceled|too many open files|connection (?:refused|reset)"
    r"|connection error|transport is closing|ttrpc: closed|shutting down|is too new"
    r"|i/o timeout",
    re.IGNORECASE,
)
_ABOUT_REQUEST = re.compile(
    r"OCI runtime (?:create|start) failed|executable file not found|no such file or directory"
    r"|could not select device driver|error gathering device information|unable to find user"
    r"|no matching entries in|network \S+ not found|invalid|is not supported|unsupported"
    r"|not a directory|permission denied|exec format error|unknown runtime|no such container"
    r"|cannot join network|marked for removal",
    re.IGNORECASE,
)
_ABOUT_ENTRYPOINT = re.compile(r"start container process: exec|exec format error|^exec: ")
_SENTENCES = (
    (
        re.compile(
            r'exec: "(.{1,100}?)": (?:stat .{1,300}: )?(?:no such file|executable file not)'
        ),
        'The entrypoint "{0}" was not found in the image',
    ),
    (
        re.compile(
            r'exec: "(.{1,100}?)": (?:stat .{1,300}: )?(?:permission denied|is a directory)'
        ),
        'The entrypoint "{0}" cannot be executed',
    ),
    (re.compile(r"(exec format error)"), "The entrypoint is not made for this machine: {0}"),
    (re.compile(r"network (\S{1,100}) not found"), 'The network "{0}" does not exist'),
    (
        re.compile(r"(select device driver|gathering device information)"),
        "A device of the environment is not available on this machine",
    ),
    (re.compile(r"(bind source path) does not exist"), "A folder of the job is missing"),
)
_PATH = re.compile(r"(?<![\w.:/])/[^\s\"',;]+")
_ENDPOINT = re.compile(r"(?: on)? ?\[?(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:]+)\]?:\d+")
_LONGEST = 200


def explanation(error: APIError) -> str:
    """The engine's own words, not fit for the public."""
    return str(error.explanation or error)


def public_text(words: str) -> str:
    """The engine's words without paths and addresses of this machine, in one short line."""
    for pattern, sentence in _SENTENCES:
        if match := pattern.search(words):
            return sentence.format(match.group(1))
    line = " ".join(words.split())
    line = _ENDPOINT.sub("", _PATH.sub("…", line))
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def meaning(error: APIError) -> ComputeError:
    """EngineRefused when the answer is about the request, EngineFault when something is wrong
    with the engine, EngineUnavailable when it has no time or somebody else answers for it."""
    words, status = explanation(error), error.status_code or 0
    if status in {429, 502, 503, 504} or _BUSY.search(words):
        return EngineUnavailable(SILENT)
    if status >= 500 and not _ABOUT_REQUEST.search(words):
        log.warning("engine_fault status=%s words=%s", status, public_text(words))
        return EngineFault(FAULTY)
    return refusal(words)


def refusal(words: str) -> EngineRefused:
    """What the engine will not do: whose fault it is shows in its words."""
    kind = EntrypointRefused if _ABOUT_ENTRYPOINT.search(words) else EngineRefused
    return kind(public_text(words))


def wants_other_version(error: APIError) -> bool:
    """True when the engine no longer speaks the version that was agreed on."""
    return error.status_code == 400 and "client version" in explanation(error)


@contextmanager
def translated() -> Iterator[None]:
    """Turns all that the SDK raises into the contract's errors."""
    try:
        yield
    except APIError as error:
        raise meaning(error) from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise EngineUnavailable(SILENT) from error
