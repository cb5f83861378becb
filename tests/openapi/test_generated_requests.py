"""Requests generated from the document, good ones and bad ones, are answered as it says.

By schemathesis, with a seed that stays, against a real process: no answer is a fault of the
service, and each has a status, a media type and a shape that the document names. Once as they
come, which for most signed calls ends at the door, and once with a wallet that signs them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from described_service import DOOR_KEY, SECRET, USER
from support.service import Service

pytestmark = pytest.mark.docker

OCEAN = ["provider", "jobs", "tokens", "assets", "metadata", "health", "description"]
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
]
EXAMPLES = 3
"""Of each call at random, beside the document's own and the boundaries of each parameter."""


def run(
    service: Service,
    folder: Path,
    tags: Sequence[str],
    *options: str,
    checks: Sequence[str] = CHECKS,
    phases: str = "examples,coverage,fuzzing",
    **environ: str,
) -> None:
    """Fails with what schemathesis tells."""
    command = [
        Path(sys.executable).with_name("schemathesis"),
        *("run", service.url + "/openapi.json", "--phases", phases, "--seed", "1"),
        *("--max-examples", str(EXAMPLES), "--checks", ",".join(checks), "--no-shrink"),
        *("--warnings", "off", "--request-timeout", "60"),
        *(word for tag in tags for word in ("--include-tag", tag)),
        *options,
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "request_hooks", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **hooks, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout


def test_the_ocean_api_as_requests_come(service: Service, tmp_path: Path) -> None:
    run(service, tmp_path, OCEAN)


def test_the_ocean_api_with_requests_signed_by_a_wallet(service: Service, tmp_path: Path) -> None:
    run(service, tmp_path, ["jobs", "tokens", "assets"], SIGN="1")
    assert "job_queued" in service.log(), "no signed request has come past the door"


def test_the_apis_without_signatures(service: Service, tmp_path: Path) -> None:
    run(service, tmp_path, ["gbuilder", "labelling", "aaas"])


def test_an_api_behind_a_key(service: Service, tmp_path: Path) -> None:
    key = ["-H", f"X-Api-Key: {DOOR_KEY}"]
    user = ["-H", f"X-Access-Key: {USER}", "-H", f"X-Secret-Key: {SECRET}"]
    tags = ["pipelines", "pipelines registry"]
    run(service, tmp_path, tags, *key, *user, phases="examples,coverage")


def test_who_has_no_key_is_told_so_by_every_call(service: Service, tmp_path: Path) -> None:
    checks = [*CHECKS, "ignored_auth"]
    run(service, tmp_path, ["pipelines"], checks=checks, phases="examples")
