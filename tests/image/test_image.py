"""The container image of the service really builds, starts, and becomes healthy.

The image is built from this checkout by ``scripts/images.sh`` unless it is there already.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from provider.keys import ProviderKey

ROOT = Path(__file__).parents[2]
IMAGE = "ocean-compute:local"
SERVICE_UID = 10001
SECOND = 10**9
ENVIRONMENTS = """
environments:
  - id: smoke
    images: {allow: ["ocean-compute-test/*"], pull: never}
"""

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    subprocess.run([ROOT / "scripts" / "images.sh", "provider"], check=True, timeout=300)
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder as the manual says: the same path inside and out, owned by the service."""
    for name in ("data", "assets", "files"):
        (tmp_path / name).mkdir()
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    key = ProviderKey.generate()
    (tmp_path / "provider.key").write_text("0x" + key.private_key.hex())
    (tmp_path / "provider.key").chmod(0o600)
    for path in (tmp_path, *tmp_path.iterdir()):
        os.chown(path, SERVICE_UID, SERVICE_UID)
    return tmp_path


@pytest.fixture
def service(engine: docker.DockerClient, folder: Path) -> Iterator[Container]:
    container = engine.containers.create(
        IMAGE,
        name=f"ocean-compute-image-test-{uuid.uuid4().hex[:8]}",
        user=f"{SERVICE_UID}:{SERVICE_UID}",
        group_add=[str(os.stat("/var/run/docker.sock").st_gid)],
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        ports={"8030/tcp": ("127.0.0.1", None)},
        volumes=[f"{folder}:{folder}", "/var/run/docker.sock:/var/run/docker.sock"],
        environment={
            "DATA_DIR": str(folder / "data"),
            "ASSETS_DIR": str(folder / "assets"),
            "FILES_DIR": str(folder / "files"),
            "ENVIRONMENTS_FILE": str(folder / "environments.yaml"),
            "PROVIDER_PRIVATE_KEY_FILE": str(folder / "provider.key"),
        },
        healthcheck={"interval": SECOND, "timeout": 5 * SECOND, "retries": 30},
    )
    yield container
    container.remove(force=True, v=True)


def healthy(engine: docker.DockerClient, service: Container) -> None:
    """Start the service and return once Docker calls it healthy."""
    filters = {"container": service.id, "event": ["health_status", "die"]}
    events = engine.events(decode=True, filters=filters)
    service.start()
    for event in events:
        if event["Action"] == "health_status: healthy":
            events.close()
            return
        if event["Action"] in {"die", "health_status: unhealthy"}:
            break
    pytest.fail(f"the service's container said:\n{service.logs().decode()}")


def root_document(service: Container) -> Any:
    service.reload()
    port = service.ports["8030/tcp"][0]["HostPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return json.load(answer)


def test_the_image_runs_as_an_ordinary_user(engine: docker.DockerClient) -> None:
    config = engine.images.get(IMAGE).attrs["Config"]
    assert config["User"] not in {"", "root", "0"}
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_a_container_becomes_healthy_and_answers(
    engine: docker.DockerClient, service: Container
) -> None:
    healthy(engine, service)
    document = root_document(service)
    assert document["serviceEndpoints"]["computeStart"] == ["POST", "/api/services/compute"]


def test_a_container_ends_by_itself_when_asked_to(
    engine: docker.DockerClient, service: Container
) -> None:
    healthy(engine, service)
    service.stop(timeout=20)
    service.reload()
    assert service.attrs["State"]["ExitCode"] == 0
