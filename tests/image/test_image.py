"""The container image of the service really builds, starts, and becomes healthy.

The image is built from this checkout by ``scripts/images.sh`` unless it is there already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from eth_account import Account

from provider.client import ComputeClient, RawAlgorithm
from provider.keys import ProviderKey

ROOT = Path(__file__).parents[2]
IMAGE = "ocean-compute:local"
TEST_IMAGE = "ocean-compute-test/busybox:1"
SERVICE_UID = 10001
SECOND = 10**9
ENVIRONMENTS = """
environments:
  - id: smoke
    diskGB: 0.01
    images: {allow: ["ocean-compute-test/*"], pull: never}
"""

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    subprocess.run([ROOT / "scripts" / "images.sh", "test", "provider"], check=True, timeout=900)
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
        ports={"8030/tcp": ("127.0.0.1", 0)},
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
    sys.stdout.write(container.logs().decode())  # shown when a test fails
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
    pytest.fail("the service did not become healthy")


def url_of(service: Container) -> str:
    service.reload()
    [published] = service.ports["8030/tcp"] or []
    return f"http://127.0.0.1:{published['HostPort']}"


def root_document(service: Container) -> Any:
    with urllib.request.urlopen(url_of(service), timeout=60) as answer:
        return json.load(answer)


def document(wallet: str) -> dict[str, Any]:
    return {
        "id": "did:op:words",
        "version": "4.1.0",
        "metadata": {"type": "dataset", "name": "words"},
        "services": [
            {
                "id": "compute",
                "type": "compute",
                "files": {"files": [{"type": "localfile", "path": "words.txt"}]},
                "compute": {"allowRawAlgorithm": True},
            }
        ],
        "credentials": {"allow": [{"type": "address", "values": [wallet]}], "deny": []},
    }


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


async def test_a_job_runs_to_its_end_and_leaves_nothing(
    engine: docker.DockerClient, service: Container, folder: Path
) -> None:
    account = Account.create()
    (folder / "files" / "words.txt").write_text("data stays")
    (folder / "assets" / "words.json").write_text(json.dumps(document(account.address)))
    healthy(engine, service)
    shell = RawAlgorithm(
        code="mkdir $OUTPUTS/deep && tr a-z A-Z < /data/inputs/words/0 > $OUTPUTS/deep/loud",
        image=TEST_IMAGE.partition(":")[0],
        tag=TEST_IMAGE.partition(":")[2],
        checksum=str(engine.images.get(TEST_IMAGE).id),
        entrypoint="sh $ALGO",
    )
    async with ComputeClient(url_of(service), account) as client:
        job = await client.start("smoke", "did:op:words#compute", shell)
        job = await client.wait(job.id, timeout_s=120)
        assert (job.status, job.detail) == (70, "")
        assert await client.read(job.id, 0) == b"DATA STAYS"
        await client.delete(job.id)
    left = [path for name in ("jobs", "results") for path in (folder / "data" / name).iterdir()]
    assert left == []


def test_a_container_ends_by_itself_when_asked_to(
    engine: docker.DockerClient, service: Container
) -> None:
    healthy(engine, service)
    service.stop(timeout=20)
    service.reload()
    assert service.attrs["State"]["ExitCode"] == 0
