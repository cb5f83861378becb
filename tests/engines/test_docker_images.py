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


def test_a_whole_reference_passes() -> None:
    check_reference(Image(image="registry.example:443/x", tag="1.2-x_y", checksum=DIGEST))


@pytest.mark.parametrize("name", ["", "--privileged", "a:b", "sha256"])
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


WORDS = [
    (
        "pull access denied for x, repository does not exist or may require 'docker login'",
        "not found",
    ),
    ("manifest for acme/algo:1 not found: manifest unknown", "not found"),
    ("denied: token=abc123", "access denied"),
    ("unauthorized: authentication required", "access denied"),
    ("dial tcp 10.0.0.7:22: connect: connection refused", "the registry cannot be reached"),
    ("lookup intranet: no such host", "the registry cannot be reached"),
    ("Get https://10.0.0.7/v2/: x509: unknown authority", "the registry cannot be reached"),
    ("toomanyrequests: You have reached your pull rate limit", "the registry asks to wait"),
    ('error parsing HTTP 429 response body: invalid character: "x"', "the registry asks to wait"),
    ("received unexpected HTTP status: 500", "the registry or the engine refuses"),
    ("manifest verification failed for digest", "not the checksum asked for"),
    ("no matching manifest for linux/s390x", "not made for this kind of machine"),
    ("<h1>Payroll</h1> of the intranet", "the registry or the engine refuses"),
]


@pytest.mark.parametrize(("words", "reason"), WORDS, ids=[reason for _, reason in WORDS])
@pytest.mark.parametrize("amid", [False, True], ids=["at once", "amid"])
async def test_a_registrys_words_are_not_for_consumers(
    engine_at: EngineAt, tmp_path: Path, words: str, reason: str, amid: bool
) -> None:
    body = b'{"status":"Pulling"}\nnonsense\n' + json.dumps({"error": words}).encode() + b"\n"
    found, _ = await _ensure(
        engine_at,
        tmp_path,
        Image(image="acme/algo", tag="1"),
        PullPolicy.ALWAYS,
        ("/json", 200, FOUND),
        ("/images/create", 200, body) if amid else ("/images/create", 500, {"message": words}),
    )
    assert isinstance(found, ImageUnavailable)
    assert found.public == f"Image acme/algo:1 cannot be pulled: {reason}"
    assert found.temporary is (reason.startswith("the registry"))


async def test_the_operator_reads_them_without_what_may_be_secret(
    engine_at: EngineAt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="compute")
    words = 'Get "https://me:pass@far.example/blob?signature=abc": denied\nINFO forged line'
    await _ensure(
        engine_at,
        tmp_path,
        Image(image="acme/algo", tag="1"),
        PullPolicy.ALWAYS,
        ("/json", 200, FOUND),
        ("/images/create", 500, {"message": words}),
    )
    (line,) = [one for one in caplog.messages if one.startswith("image.not_pulled")]
    assert "reference=acme/algo:1" in line
    assert 'Get "https://far.example/blob?…": denied INFO forged line' in line


async def test_a_name_is_no_sign_of_what_went_wrong(engine_at: EngineAt, tmp_path: Path) -> None:
    found, _ = await _ensure(
        engine_at,
        tmp_path,
        Image(image="acme/denied", tag="1"),
        PullPolicy.ALWAYS,
        ("/json", 200, FOUND),
        ("/images/create", 404, {"message": "manifest for acme/denied:1 not found"}),
    )
    assert isinstance(found, ImageUnavailable)
    assert found.public.endswith(": not found")


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


EVIL = {"Id": "sha256:" + "2" * 64, "RepoTags": ["acme/algo:evil"], "RepoDigests": []}


async def _of_tag(
    engine_at: EngineAt,
    folder: Path,
    policy: PullPolicy,
    *routes: tuple[str, int, object],
    checksum: str = DIGEST,
) -> tuple[str, ScriptedEngine]:
    image = Image(image="acme/algo", tag="reviewed", checksum=checksum)
    async with ScriptedEngine(folder / "d.sock", *routes) as script:
        engine = engine_at(script.path)
        await engine.connect()
        try:
            return await engine.ensure_image(image, policy, tag_must_match=True), script
        except ImageUnavailable as error:
            return error.public, script


@pytest.mark.parametrize("policy", list(PullPolicy))
async def test_a_checksum_of_another_tag_is_refused(
    engine_at: EngineAt, tmp_path: Path, policy: PullPolicy
) -> None:
    for checksum in (OTHER, str(EVIL["Id"])):
        found, script = await _of_tag(
            engine_at,
            tmp_path,
            policy,
            ("algo:reviewed/json", 200, FOUND),
            (f"{checksum}/json", 200, EVIL),
            ("/images/create", 200, PULLED),
            checksum=checksum,
        )
        assert found == "The checksum is not that of the allowed tag"
        assert [one for one in script.asked("/images/create") if checksum in one.line] == []


async def test_the_tag_that_is_here_counts(engine_at: EngineAt, tmp_path: Path) -> None:
    found, script = await _of_tag(
        engine_at,
        tmp_path,
        PullPolicy.MISSING,
        ("algo:reviewed/json", 200, FOUND),
        (f"acme/algo@{DIGEST}/json", 200, FOUND),
    )
    assert found == IMAGE_ID
    assert script.asked("/images/create") == []


async def test_a_missing_tag_is_pulled_as_a_tag(engine_at: EngineAt, tmp_path: Path) -> None:
    _, script = await _of_tag(
        engine_at, tmp_path, PullPolicy.MISSING, ("/json", 404, NO_IMAGE), ("create", 200, PULLED)
    )
    (pull,) = script.asked("/images/create")
    assert "tag=reviewed" in pull.line


@pytest.mark.docker
async def test_another_image_of_the_repository_does_not_pass_for_the_reviewed(
    docker_bench: Bench, raw: docker.APIClient, operator_id: str
) -> None:
    container = raw.create_container(TEST_IMAGE.reference, command=["true"])["Id"]
    raw.commit(container, repository=TEST_IMAGE.image, tag=operator_id, conf={"Env": ["EVIL=1"]})
    raw.remove_container(container)
    name = f"{TEST_IMAGE.image}:{operator_id}"
    try:
        evil = TEST_IMAGE.model_copy(update={"checksum": raw.inspect_image(name)["Id"]})
        ensure = docker_bench.engine.ensure_image
        assert await ensure(evil, PullPolicy.NEVER) == evil.checksum
        with pytest.raises(ImageUnavailable, match="not that of the allowed tag"):
            await ensure(evil, PullPolicy.NEVER, tag_must_match=True)
    finally:
        raw.remove_image(name, force=True)
