"""What the engine's words mean, and which of them the public may read."""

from __future__ import annotations

import json

import pytest
import requests
from docker.errors import APIError, NotFound

from compute.engines.docker.errors import meaning, public_text, translated
from compute.errors import EngineFault, EngineRefused, EngineUnavailable, EntrypointRefused

OCI = "failed to create shim task: OCI runtime create failed: runc create failed: "

ABOUT_THE_REQUEST = [
    (400, OCI + 'unable to start container process: exec: "/nope": stat /nope: no such file'),
    (400, OCI + 'exec: "nope": executable file not found in $PATH: unknown'),
    (404, "network lab not found"),
    (409, "Conflict. The container name is already in use"),
    (500, 'could not select device driver "" with capabilities: [[gpu]]'),
    (500, "unable to find user nosuch: no matching entries in passwd file"),
    (400, "Minimum memory limit allowed is 6MB"),
    (403, "authorization denied by plugin"),
]
ABOUT_THE_ENGINE = [
    (500, "containerd is having a day"),
    (500, ""),
    (502, "bad gateway"),
    (503, "network x not found"),
    (429, "slow down"),
    (500, OCI + "cannot allocate memory"),
    (500, OCI + "write /x: no space left on device"),
    (500, "context deadline exceeded"),
    (500, "dial unix /run/containerd.sock: connect: connection refused"),
    (400, "client version 1.47 is too new. Maximum supported API version is 1.41"),
]


def _error(status: int, words: str) -> APIError:
    response = requests.Response()
    response.status_code = status
    response._content = json.dumps({"message": words}).encode()
    kind = NotFound if status == 404 else APIError
    return kind("x", response=response, explanation=words)


@pytest.mark.parametrize(("status", "words"), ABOUT_THE_REQUEST)
def test_what_will_never_work_is_refused(status: int, words: str) -> None:
    assert isinstance(meaning(_error(status, words)), EngineRefused)


ENTRYPOINTS = [
    OCI + 'unable to start container process: exec: "/nope": stat /nope: no such file',
    OCI + 'unable to start container process: exec: "nope": executable file not found in $PATH',
    OCI + "exec /data/x: exec format error",
]


@pytest.mark.parametrize("words", ENTRYPOINTS)
def test_an_entrypoint_that_cannot_be_run_is_its_consumers(words: str) -> None:
    assert isinstance(meaning(_error(400, words)), EntrypointRefused)


@pytest.mark.parametrize(
    "words",
    [
        "network lab not found",
        'could not select device driver "" with capabilities: [[gpu]]',
        "error running prestart hook: exec nvidia-container-cli: no such file or directory",
        "unable to find user nosuch: no matching entries in passwd file",
    ],
)
def test_what_else_is_refused_is_the_operators(words: str) -> None:
    assert type(meaning(_error(500, words))) is EngineRefused


@pytest.mark.parametrize(
    ("status", "words", "counts"),
    [
        (500, "containerd is having a day", True),
        (500, "", True),
        (503, "network x not found", False),
        (429, "slow down", False),
        (500, "context deadline exceeded", False),
        (500, "connect: connection refused", False),
    ],
)
def test_a_fault_of_the_engine_is_told_from_its_silence(
    status: int, words: str, counts: bool
) -> None:
    assert (type(meaning(_error(status, words))) is EngineFault) is counts


@pytest.mark.parametrize(("status", "words"), ABOUT_THE_ENGINE)
def test_what_may_work_later_is_unavailable(status: int, words: str) -> None:
    assert isinstance(meaning(_error(status, words)), EngineUnavailable)


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("refused"),
        requests.ReadTimeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut"),
    ],
)
def test_a_broken_connection_is_unavailable(error: Exception) -> None:
    with pytest.raises(EngineUnavailable) as caught, translated():
        raise error
    assert caught.value.__cause__ is error


def test_our_own_mistakes_are_not_blamed_on_the_engine() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("x")


def test_a_full_disk_of_ours_is_not_blamed_on_the_engine() -> None:
    with pytest.raises(OSError, match="full"), translated():
        raise OSError(28, "full")


TEXTS = [
    (
        OCI + 'exec: "/opt/run": stat /opt/run: no such file or directory: unknown',
        'The entrypoint "/opt/run" was not found in the image',
    ),
    (
        OCI + 'exec: "/etc": permission denied: unknown',
        'The entrypoint "/etc" cannot be executed',
    ),
    (OCI + "exec /x: exec format error", "The entrypoint is not made for this machine"),
    ("network lab not found", 'The network "lab" does not exist'),
    ("bind source path does not exist: /srv/jobs/1", "A folder of the job is missing"),
    ("error mounting /srv/secret/x to rootfs", "error mounting … to rootfs"),
    ("lookup registry.example on 10.0.0.53:53: no such host", "lookup registry.example: no"),
    ('Get "https://registry.example/v2/": EOF', 'Get "https://registry.example/v2/": EOF'),
    ("read tcp 10.1.2.3:5000->10.9.9.9:443: i/o timeout", "read tcp"),
    ("two\nlines\tand \x1b[31mred", "two lines and"),
    ("", ""),
]


@pytest.mark.parametrize(("words", "text"), TEXTS)
def test_the_public_reads_a_short_sentence(words: str, text: str) -> None:
    assert public_text(words).startswith(text)


@pytest.mark.parametrize("words", [words for words, _ in TEXTS] + ["x" * 5000])
def test_the_public_reads_no_path_address_or_control_character(words: str) -> None:
    text = public_text(words)
    assert len(text) <= 200
    assert text.isprintable()
    for secret in ("/srv", "10.0.0.53", "10.1.2.3", "10.9.9.9", "\n"):
        assert secret not in text
