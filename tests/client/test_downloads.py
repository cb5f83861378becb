"""Results on disk: whole, verified, resumed, and where they belong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin_provider import Fault, StandIn, StandInJob

from provider.client import (
    ComputeClient,
    DownloadFailedError,
    NotFoundError,
    ProviderUnreachableError,
)
from provider.client.downloads import Download, safe_path
from provider.client.patience import Patience

REQUEST = {"environment": "small", "dataset": {"documentId": "did:op:1"}, "algorithm": {}}
LARGE = bytes(range(256)) * 12_000


@pytest.fixture
def job(stand_in: StandIn, wallet: Any) -> StandInJob:
    stand_in.script = [70]
    stand_in.files = [("model.bin", "output", LARGE), ("algorithm.log", "algorithmLog", b"log")]
    return stand_in.add_job(wallet.address, REQUEST)


async def test_a_result_arrives_with_progress(
    client: ComputeClient, job: StandInJob, tmp_path: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    path = await client.download(job.id, 0, tmp_path, lambda *told: seen.append(told))
    assert path == tmp_path / "model.bin"
    assert path.read_bytes() == LARGE
    assert seen[0] == (0, len(LARGE))
    assert seen[-1] == (len(LARGE), len(LARGE))
    assert os.listdir(tmp_path) == ["model.bin"]


async def test_a_target_may_be_a_file(
    client: ComputeClient, job: StandInJob, tmp_path: Path
) -> None:
    path = await client.download(job.id, 1, tmp_path / "new" / "my.log")
    assert path.read_bytes() == b"log"


async def test_an_empty_result_is_a_file(
    client: ComputeClient, job: StandInJob, tmp_path: Path
) -> None:
    job.files.append(("empty", "output", b""))
    assert (await client.download(job.id, 2, tmp_path)).read_bytes() == b""


async def test_broken_downloads_go_on_where_they_stopped(
    client: ComputeClient, stand_in: StandIn, job: StandInJob, tmp_path: Path
) -> None:
    stand_in.spoil("computeResult", *[Fault(cut=400_000)] * 6)
    path = await client.download(job.id, 0, tmp_path)
    assert path.read_bytes() == LARGE
    asked = [headers.get("Range") for headers in stand_in.headers("computeResult")]
    assert asked[0] is None
    starts = [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in asked[1:] if wanted]
    assert len(starts) >= 6
    assert starts == sorted(starts)
    etag = f'"{hashlib.sha256(LARGE).hexdigest()}"'
    assert {h["If-Range"] for h in stand_in.headers("computeResult")[1:]} == {etag}
    assert len({call["nonce"] for call in stand_in.calls("computeResult")}) == len(asked)


async def test_tries_that_bring_nothing_end(
    client: ComputeClient, stand_in: StandIn, job: StandInJob, tmp_path: Path
) -> None:
    stand_in.spoil("computeResult", Fault(cut=400_000), *[Fault(503)] * 20)
    with pytest.raises(ProviderUnreachableError):
        await client.download(job.id, 0, tmp_path)
    assert (tmp_path / "model.bin.part").stat().st_size > 0
    assert not (tmp_path / "model.bin").exists()


async def test_a_later_call_goes_on_with_the_part(
    client: ComputeClient, stand_in: StandIn, job: StandInJob, tmp_path: Path
) -> None:
    (tmp_path / "model.bin.part").write_bytes(LARGE[:1_000_000])
    path = await client.download(job.id, 0, tmp_path)
    assert path.read_bytes() == LARGE
    assert stand_in.headers("computeResult")[0]["Range"] == "bytes=1000000-"


@pytest.mark.parametrize("left", [b"something else", LARGE + b"more", LARGE[:-1] + b"x"])
async def test_a_part_of_something_else_is_thrown_away(
    client: ComputeClient, job: StandInJob, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / "model.bin.part").write_bytes(left)
    assert (await client.download(job.id, 0, tmp_path)).read_bytes() == LARGE


async def test_a_part_that_is_already_whole_is_only_named(
    client: ComputeClient, stand_in: StandIn, job: StandInJob, tmp_path: Path
) -> None:
    (tmp_path / "model.bin.part").write_bytes(LARGE)
    assert (await client.download(job.id, 0, tmp_path)).read_bytes() == LARGE


async def test_bytes_that_are_not_the_promised_ones_are_not_kept(
    client: ComputeClient, job: StandInJob, tmp_path: Path
) -> None:
    """The list promises one content, the download brings another."""
    listed = job.poll()
    job.files[0] = ("model.bin", "output", LARGE[::-1])
    honest = StandInJob(job.id, job.owner, REQUEST, job.created)
    honest.files = [("model.bin", "output", LARGE)]
    job.poll = lambda: listed  # type: ignore[method-assign]
    with pytest.raises(DownloadFailedError, match="SHA-256"):
        await client.download(job.id, 0, tmp_path)
    assert os.listdir(tmp_path) == []


async def test_a_file_that_is_there_already_is_kept_or_replaced_on_demand(
    client: ComputeClient, stand_in: StandIn, job: StandInJob, tmp_path: Path
) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"mine")
    with pytest.raises(DownloadFailedError, match="exists already and is another file"):
        await client.download(job.id, 0, tmp_path)
    assert path.read_bytes() == b"mine"
    await client.download(job.id, 0, tmp_path, overwrite=True)
    assert path.read_bytes() == LARGE
    before = len(stand_in.calls("computeResult"))
    await client.download(job.id, 0, tmp_path)
    assert len(stand_in.calls("computeResult")) == before


async def test_a_target_that_cannot_be_written_is_named(
    client: ComputeClient, job: StandInJob, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadFailedError, match="cannot be written"):
        await client.download(job.id, 0, tmp_path / "file" / "below")


async def test_a_part_that_is_a_link_is_not_written_through(
    client: ComputeClient, job: StandInJob, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "model.bin.part").symlink_to(victim)
    with pytest.raises(DownloadFailedError):
        await client.download(job.id, 0, tmp_path)
    assert victim.read_bytes() == b"mine"


async def test_a_full_disk_is_no_broken_connection(
    client: ComputeClient, stand_in: StandIn, job: StandInJob
) -> None:
    folder = Path("/dev/full")
    with pytest.raises(DownloadFailedError):
        await client.download(job.id, 0, folder / "x")
    assert stand_in.calls("computeResult") == []


async def test_an_unknown_index_is_not_found(
    client: ComputeClient, job: StandInJob, tmp_path: Path
) -> None:
    for index in (-1, 2):
        with pytest.raises(NotFoundError, match="no result"):
            await client.download(job.id, index, tmp_path)


async def test_all_results_arrive_below_the_folder(
    client: ComputeClient, job: StandInJob, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    for name in ("plots/roc.png", "../../escape", "/etc/passwd", "plots//roc.png", ".bashrc"):
        job.files.append((name, "output", name.encode()))
    seen = []
    paths = await client.download_all(job.id, folder, lambda r, done, total: seen.append(r.index))
    assert [path.relative_to(folder).as_posix() for path in paths] == [
        "model.bin",
        "algorithm.log",
        "plots/roc.png",
        "escape",
        "etc/passwd",
        "plots/5-roc.png",
        "_.bashrc",
    ]
    assert set(seen) == set(range(7))
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    again = await client.download_all(job.id, folder)
    assert again == paths


async def test_a_stream_tells_of_a_break(
    client: ComputeClient, stand_in: StandIn, job: StandInJob
) -> None:
    stand_in.spoil("computeResult", Fault(cut=400_000))
    received = bytearray()

    async def receive() -> None:
        async for chunk in client.stream(job.id, 0):
            received.extend(chunk)

    with pytest.raises(ProviderUnreachableError):
        await receive()
    assert len(received) < len(LARGE)


async def test_a_result_in_memory_is_read_again_after_a_break(
    client: ComputeClient, stand_in: StandIn, job: StandInJob
) -> None:
    stand_in.spoil("computeResult", Fault(cut=400_000), Fault(503))
    assert await client.read(job.id, 0) == LARGE


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("metrics.json", "metrics.json"),
        ("plots/roc.png", "plots/roc.png"),
        ("../../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\..\\windows\\x.dll", "windows/x.dll"),
        ("C:\\x", "C_/x"),
        ("a/./b/../c", "a/b/c"),
        (".ssh/authorized_keys", "_.ssh/authorized_keys"),
        ("-rf", "_-rf"),
        ("~root", "_~root"),
        ("a\x00b\x1b[31m\n", "a_b_[31m_"),
        ("right\u202eleft", "right_left"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("", "result"),
        ("...", "result"),
        ("/", "result"),
        ("\ud800.txt", "_.txt"),
        ("Übersicht größe.csv", "Übersicht größe.csv"),
    ],
)
def test_names_chosen_by_algorithms_are_made_safe(filename: str, expected: str) -> None:
    assert safe_path(filename).as_posix() == expected


@given(filename=st.text(max_size=400))
def test_no_name_leaves_its_folder(filename: str) -> None:
    path = safe_path(filename)
    assert not path.is_absolute()
    assert path.parts
    for part in path.parts:
        assert part not in ("", ".", "..")
        assert part.isprintable()
        assert len(part.encode()) <= 200
        assert not part.startswith((".", "-", "~"))


def test_a_long_name_keeps_its_suffix() -> None:
    assert safe_path("é" * 300 + ".csv").name.endswith(".csv")


async def test_what_has_no_end_is_given_up_and_nothing_of_it_stays(tmp_path: Path) -> None:
    class Endless:
        status, content_length = 200, None
        headers: dict[str, str] = {}

        def __init__(self) -> None:
            self.content = self

        async def read(self, most: int) -> bytes:
            return b"x" * 1000

    @asynccontextmanager
    async def opener(headers: dict[str, str]) -> AsyncIterator[Any]:
        yield Endless()

    target = tmp_path / "sample.csv"
    download = Download(opener, target, "", Patience(), lambda *told: None, most_bytes=10_500)
    with pytest.raises(DownloadFailedError, match=r"sample\.csv is larger than the 10500 bytes"):
        await download.run()
    assert os.listdir(tmp_path) == []
