"""Which image is the one asked for, and what a registry's no looks like."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from engine_bench import TEST_IMAGE, Bench
from scripted_engine import ScriptedEngine

from compute.engines.base import PullPolicy
from compute.engines.docker import DockerEngine
from compute.engines.docker.images import check_reference
from compute.errors import EngineUnavailable, ImageUnavailable
from compute.models import Image

EngineAt = Callable[[Path], DockerEngine]

DIGEST = "sha256:" + "d" * 64
OTHER = "sha256:" + "e" * 64
IMAGE_ID = "sha256:" + "1" * 64
FOUND = {"Id": IMAGE_ID, "RepoTags": ["acme/algo:1"], "RepoDigests": [f"acme/algo@{DIGEST}"]}
NO_IMAGE = {"message": "No such image"}
PULLED = b'{"status":"Pulling"}\n{"status":"Done"}\n'

GOOD_NAMES = [
    "python",
    "library/python",
    "oceanprotocol/algo_dockers",
    "ghcr.io/acme/a.b-c__d/e",
    "localhost:5000/x",
    "Registry.Example:443/x",
    "a--b",
]
BAD_NAMES = [
    "",
    "-x",
    "--privileged",
    "UPPER",
    "a b",
    "a\nb",
    "../etc",
    "a/../b",
    "/a",
    "a/",
    "a//b",
    "a:b",
    "a@sha256:" + "0" * 64,
    "http://x/y",
    "x?tag=1",
    "x#y",
    "ü",
    "a" * 256,
    "sha256",
    "0" * 64,
    "host:port/x",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_of_repositories_pass(name: str) -> None:
    check_reference(Image(image=name, tag="1.2-x_y", checksum=DIGEST))


@pytest.mark.parametrize("name", BAD_NAMES)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ImageUnavailable, match="name"):
        check_reference(Image(image=name, tag="1"))


@pytest.mark.parametrize("tag", ["-x", ".x", "a b", "a/b", "a:b", "x" * 129, "ü", "1\n"])
def test_other_tags_are_refused(tag: str) -> None:
    with pytest.raises(ImageUnavailable, match="tag"):
        check_reference(Image(image="python", tag=tag))


@pytest.mark.parametrize(
    "checksum", ["d" * 64, "sha256:", "sha256:" + "D" * 64, "sha512:" + "d" * 64, DIGEST + "\n"]
)
def test_other_checksums_are_refused(checksum: str) -> None:
    with pytest.raises(ImageUnavailable, match="checksum"):
        check_reference(Image(image="python", checksum=checksum))


@pytest.mark.docker
async def test_an_id_under_another_name_is_not_the_image(docker_bench: Bench) -> None:
    image = Image(image="acme/something-else", tag="1", checksum=docker_bench.image_id)
    with pytest.raises(ImageUnavailable):
        await docker_bench.engine.ensure_image(image, PullPolicy.NEVER)


@pytest.mark.docker
async def test_an_id_will_do_whatever_the_tag(docker_bench: Bench, raw: docker.APIClient) -> None:
    image = TEST_IMAGE.model_copy(update={"tag": "gone", "checksum": docker_bench.image_id})
    found = await docker_bench.engine.ensure_image(image, PullPolicy.NEVER)
    assert found == docker_bench.image_id


@pytest.mark.docker
async def test_a_mismatch_is_named_where_nothing_may_be_pulled(docker_bench: Bench) -> None:
    image = TEST_IMAGE.model_copy(update={"checksum": OTHER})
    with pytest.raises(ImageUnavailable, match="checksum"):
        await docker_bench.engine.ensure_image(image, PullPolicy.NEVER)


async def _ensure(
    engine_at: EngineAt,
    folder: Path,
    image: Image,
    policy: PullPolicy,
    *routes: tuple[str, int, object],
) -> tuple[str | ImageUnavailable, ScriptedEngine]:
    async with ScriptedEngine(folder / "d.sock", *routes) as script:
        engine = engine_at(script.path)
        await engine.connect()
        try:
            return await engine.ensure_image(image, policy), script
        except ImageUnavailable as error:
            return error, script


async def test_a_digest_that_is_here_needs_no_pull(engine_at: EngineAt, tmp_path: Path) -> None:
    image = Image(image="acme/algo", tag="9", checksum=DIGEST)
    for policy in PullPolicy:
        found, script = await _ensure(
            engine_at, tmp_path, image, policy, (f"acme/algo@{DIGEST}/json", 200, FOUND)
        )
        assert found == IMAGE_ID
        assert script.asked("create") == []


async def test_with_a_checksum_the_digest_is_pulled_not_the_tag(
    engine_at: EngineAt, tmp_path: Path
) -> None:
    image = Image(image="acme/algo", tag="9", checksum=DIGEST)
    found, script = await _ensure(
        engine_at,
        tmp_path,
        image,
        PullPolicy.MISSING,
        ("/json", 404, NO_IMAGE),
        ("/images/create", 200, PULLED),
    )
    assert isinstance(found, ImageUnavailable)
    (pull,) = script.asked("/images/create")
    assert "fromImage=acme/algo" in pull.line
    assert f"tag={DIGEST}" in pull.line


async def test_what_is_missing_is_pulled_once_and_then_found(
    engine_at: EngineAt, tmp_path: Path
) -> None:
    async with ScriptedEngine(
        tmp_path / "d.sock",
        ("/json", 404, NO_IMAGE),
        ("/images/create", 200, PULLED),
    ) as script:
        engine = engine_at(script.path)
        await engine.connect()
        with pytest.raises(ImageUnavailable, match="not on this machine"):
            await engine.ensure_image(Image(image="acme/algo", tag="1"), PullPolicy.MISSING)
        script.routes.insert(0, ("algo:1/json", 200, FOUND))
        found = await engine.ensure_image(Image(image="acme/algo", tag="1"), PullPolicy.MISSING)
        assert found == IMAGE_ID
        assert len(script.asked("/images/create")) == 1


async def test_always_pulls_what_is_here(engine_at: EngineAt, tmp_path: Path) -> None:
    found, script = await _ensure(
        engine_at,
        tmp_path,
        Image(image="acme/algo", tag="1"),
        PullPolicy.ALWAYS,
        ("/json", 200, FOUND),
        ("/images/create", 200, PULLED),
    )
    assert found == IMAGE_ID
    assert len(script.asked("/images/create")) == 1


async def test_never_does_not_even_ask_the_registry(engine_at: EngineAt, tmp_path: Path) -> None:
    found, script = await _ensure(
        engine_at,
        tmp_path,
        Image(image="acme/algo", tag="1"),
        PullPolicy.NEVER,
        ("/json", 404, NO_IMAGE),
    )
    assert isinstance(found, ImageUnavailable)
    assert script.asked("/images/create") == []


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_the_registrys_refusal_is_passed_on(
    engine_at: EngineAt, tmp_path: Path, status: int
) -> None:
    words = "pull access denied for acme/algo, repository does not exist"
    found, _ = await _ensure(
        engine_at,
        tmp_path,
        Image(image="acme/algo", tag="1"),
        PullPolicy.MISSING,
        ("/json", 404, NO_IMAGE),
        ("/images/create", status, {"message": words}),
    )
    assert isinstance(found, ImageUnavailable)
    assert words in found.public


async def test_a_failure_amid_the_pull_is_a_failure(engine_at: EngineAt, tmp_path: Path) -> None:
    body = b'{"status":"Pulling"}\nnonsense\n{"error":"manifest unknown"}\n'
    found, _ = await _ensure(
        engine_at,
        tmp_path,
        Image(image="acme/algo", tag="1"),
        PullPolicy.ALWAYS,
        ("/json", 200, FOUND),
        ("/images/create", 200, body),
    )
    assert isinstance(found, ImageUnavailable)
    assert "manifest unknown" in found.public


async def test_an_engine_that_stops_amid_a_pull_says_nothing_about_the_image(
    engine_at: EngineAt, tmp_path: Path
) -> None:
    async with ScriptedEngine(
        tmp_path / "d.sock", ("/json", 404, NO_IMAGE), ("/images/create", 0, "")
    ) as script:
        engine = engine_at(script.path)
        await engine.connect()
        with pytest.raises(EngineUnavailable):
            await engine.ensure_image(Image(image="acme/algo", tag="1"), PullPolicy.MISSING)


async def test_the_daemons_configured_credentials_are_sent(
    engine_at: EngineAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = b64encode(b"reader:opensesame").decode()
    config = {"auths": {"registry.example": {"auth": login}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    _, script = await _ensure(
        engine_at,
        tmp_path,
        Image(image="registry.example/algo", tag="1"),
        PullPolicy.ALWAYS,
        ("/json", 200, FOUND),
        ("/images/create", 200, PULLED),
    )
    (pull,) = script.asked("/images/create")
    sent = json.loads(b64decode(pull.headers["x-registry-auth"]))
    assert (sent["username"], sent["password"]) == ("reader", "opensesame")
