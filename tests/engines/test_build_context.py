"""What goes to the builder and what is made of its words, without a real engine."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_bench import BASE, a_build
from scripted_engine import ScriptedEngine

from compute.engines.docker import DockerEngine
from compute.engines.docker.buildlog import BuildLog, failure
from compute.engines.docker.context import Context
from compute.errors import BuildRefused, EngineUnavailable


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in {"Dockerfile": b"FROM x:1\n", **files}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def test_the_tar_holds_all_files_and_the_dockerfile_it_is_given(tmp_path: Path) -> None:
    files = {"a": b"", "b/c/d": bytes(1000), "b/" + "n" * 200: b"long", "z/Dockerfile": b"other"}
    context = Context(folder_of(tmp_path, files))
    assert context.dockerfile(100) == b"FROM x:1\n"
    assert context.dockerfile(3) == b"FROM"
    packed = b"".join(context.tar(b"FROM y:1\n"))
    assert len(packed) % tarfile.BLOCKSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = {
            one.name: tar.extractfile(one).read()  # type: ignore[union-attr]
            for one in tar.getmembers()
            if one.isreg()
        }
        folders = [one.name for one in tar.getmembers() if one.isdir()]
        assert {(one.uid, one.gid, one.mtime) for one in tar.getmembers()} == {(0, 0, 0)}
    assert found == {**files, "Dockerfile": b"FROM y:1\n"}
    assert folders == ["b", "z", "b/c"]


def test_names_that_are_no_text_go_along(tmp_path: Path) -> None:
    folder_of(tmp_path, {})
    (Path(str(tmp_path)) / "x\udcff").write_bytes(b"1")
    packed = b"".join(Context(tmp_path).tar(b""))
    with tarfile.open(fileobj=io.BytesIO(packed), errors="surrogateescape") as tar:
        assert tar.getnames() == ["Dockerfile", "x\udcff"]


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder_of(tmp_path, {"a": bytes(2 << 20), "b": b""})
    with pytest.raises(BuildRefused, match="more than 1 MiB"):
        Context(tmp_path, most_bytes=1 << 20)
    with pytest.raises(BuildRefused, match="more than 2 files"):
        Context(tmp_path, most_files=2)
    Context(tmp_path, most_files=3)


@pytest.mark.parametrize("change", ["shorter", "gone", "link", "longer"])
def test_a_file_that_changes_meanwhile_breaks_nothing(tmp_path: Path, change: str) -> None:
    file = folder_of(tmp_path, {"a": b"12345"}) / "a"
    context = Context(tmp_path)
    file.unlink()
    if change == "link":
        file.symlink_to("/etc/passwd")
    elif change != "gone":
        file.write_bytes(b"1" if change == "shorter" else b"1234567")
    if change == "longer":
        assert b"1234567" not in b"".join(context.tar(b""))
        return
    with pytest.raises(BuildRefused, match="changed"):
        list(context.tar(b""))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildRefused):
        Context(tmp_path / "nothing")


def said(text: str) -> bytes:
    return json.dumps({"stream": text}).encode()


def test_the_newest_output_is_kept_without_what_moves_a_terminal() -> None:
    log = BuildLog(12)
    for _ in range(100):
        log.take(said("0123456789"))
    log.take(said("\n\x1b[91mé\x07d\n"))
    for nothing in (b"", b"no json", b"[]", b'{"aux": 1, "stream": null}', said("")):
        log.take(nothing)
    assert log.refused("x").output == "9\néd\n"
    assert BuildLog(0).refused("x").output == ""


def test_the_image_is_the_last_one_named() -> None:
    log = BuildLog(8)
    for name in ("sha256:1", "sha256:2"):
        log.take(json.dumps({"aux": {"ID": name}}).encode())
    assert log.image_id == "sha256:2"


MEANINGS = {
    "The command '/bin/sh -c a\nb' returned a non-zero code: 7": "exit code 7",
    # What a command says cannot pass for the engine's own words.
    "The command '/bin/sh -c no space left on device' returned a non-zero code: 1": "exit code 1",
    "write /var/lib/docker/x: no space left on device": "no disk space",
    "pull access denied for x, repository does not exist": "cannot be pulled",
    'Get "https://r.example/v2/": dial tcp 10.0.0.1:443: i/o timeout': "cannot be pulled",
    "COPY failed: stat /var/lib/docker/tmp/b/x: no such file": "COPY failed: stat …",
}


@pytest.mark.parametrize(("words", "meaning"), MEANINGS.items(), ids=range(len(MEANINGS)))
def test_the_builder_s_last_words_are_made_fit_for_the_public(words: str, meaning: str) -> None:
    told = failure(words)
    assert meaning in told
    assert "/var" not in told
    assert "10.0.0.1" not in told
    with pytest.raises(BuildRefused, match="^" + told[:10]):
        BuildLog(8).take(json.dumps({"error": words}).encode())


IDLE = ((r"/(containers|images)/json", 200, []),)
SICK = {
    "in trouble": ((".", 503, {"message": "stopping"}),),
    "hangs up": ((".", 0, ""),),
    "in trouble while it builds": (*IDLE, ("/build", 500, {"message": "ouch"})),
    "hangs up while it builds": (*IDLE, ("/build", 0, "")),
    "ends without a word": (*IDLE, ("/build", 200, b"")),
    "ends without an image": (*IDLE, ("/build", 200, b'{"stream":"Step 1"}\n')),
}


@pytest.mark.parametrize("routes", SICK.values(), ids=SICK.keys())
async def test_an_engine_in_trouble_is_no_refusal(
    engine_at: Callable[[Path], DockerEngine],
    tmp_path: Path,
    routes: tuple[tuple[str, int, object], ...],
) -> None:
    async with ScriptedEngine(tmp_path / "sick.sock", *routes):
        engine = engine_at(tmp_path / "sick.sock")
        await engine.connect()
        with pytest.raises(EngineUnavailable):
            await engine.build(a_build(tmp_path / "context", BASE))


async def test_without_an_engine_nothing_is_built_nor_removed(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path
) -> None:
    engine = engine_at(tmp_path / "no.sock")
    await engine.connect()
    with pytest.raises(EngineUnavailable):
        await engine.build(a_build(tmp_path / "context", BASE))
    for call in (engine.built(), engine.remove_image("x:1")):
        with pytest.raises(EngineUnavailable):
            await call


async def test_what_is_asked_of_the_builder(
    engine_at: Callable[[Path], DockerEngine], tmp_path: Path
) -> None:
    done = b'{"aux":{"ID":"sha256:1"}}\n'
    async with ScriptedEngine(tmp_path / "d.sock", *IDLE, ("/build", 200, done)) as script:
        engine = engine_at(script.path)
        await engine.connect()
        build = a_build(tmp_path / "context", BASE, cpus=0.5, disk_bytes=1 << 20)
        assert await engine.build(build) == "sha256:1"
        [question] = script.asked("POST .*/build")
    for part in ("networkmode=none", "forcerm=1", "nocache=1", "cpuquota=50000"):
        assert part in question.line
    assert f"memory={64 << 20}" in question.line
    assert f"memswap={64 << 20}" in question.line
    assert "pull=" not in question.line
    assert "x-registry-config" not in question.headers
