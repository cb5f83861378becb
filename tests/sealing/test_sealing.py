"""Sealed files: what they are, what opens them, and what does not."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import by_the_page
import pytest
from Crypto.Cipher import AES
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sealing_samples import (
    CHUNK,
    HEAD,
    JOB,
    KEY,
    OTHER_JOB,
    OTHER_KEY,
    STEP,
    content,
    sealed_file,
)

from compute import sealing
from compute.errors import PublishingFailed
from compute.models import ResultFile
from compute.results import ResultType
from provider.auth.publickeys import public_key_of
from provider.client.errors import DownloadFailedError
from provider.client.opening import Header, SealBrokenError, WrongKeyError, open_file, pieces

PAGE = (Path(__file__).parents[2] / "docs" / "encryption.md").read_text()
EDGES = [0, 1, 15, 16, 17, *(n * CHUNK + d for n in (1, 2) for d in (-1, 0, 1))]


def opened(sealed: bytes) -> bytes:
    file = io.BytesIO(sealed)
    header = Header.read(file)
    return b"".join(pieces(file, header, header.open_key(KEY)))


@pytest.mark.parametrize("size", EDGES)
def test_what_is_sealed_opens_again(tmp_path: Path, size: int) -> None:
    clear = content(size)
    path = sealed_file(tmp_path, clear)
    sealed = path.read_bytes()
    assert len(sealed) == sealing.sealed_size(size) == 198 + size + 16 * max(1, -(-size // CHUNK))
    assert open_file(path, tmp_path / "clear", KEY).read_bytes() == clear
    assert by_the_page.read(sealed, KEY).clear == clear
    assert sorted(os.listdir(tmp_path)) == ["0.bin.sealed", "clear"]


@pytest.mark.parametrize(
    ("kind", "number"), [("output", 1), ("algorithmLog", 2), ("filteringLog", 3)]
)
def test_a_reader_of_the_page_learns_which_file_it_is(
    tmp_path: Path, kind: ResultType, number: int
) -> None:
    sealed = sealed_file(tmp_path, b"x", index=70_000, kind=kind).read_bytes()
    compressed, _ = by_the_page.public_key(KEY)
    assert by_the_page.read(sealed, KEY) == (JOB, 70_000, number, compressed, b"x")


def test_the_file_on_the_page_is_read_by_everybody_and_written_so(tmp_path: Path) -> None:
    [digits] = re.findall(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    [private] = re.findall(r"^    ([0-9a-f]{64})$", PAGE, re.MULTILINE)
    sealed, key = bytes.fromhex(digits.replace("\n", "")), bytes.fromhex(private)
    clear = b"what only its owner reads\n"
    assert f"`{public_key_of(key)}`" in PAGE
    read = by_the_page.read(sealed, key)
    assert (read.job_id, read.index, read.type) == ("0f4c1e0c8a6d4f5a9d3b7a1f2e6c8b90", 2, 2)
    assert read.clear == clear
    (tmp_path / "a").write_bytes(sealed)
    assert open_file(tmp_path / "a", tmp_path / "b", key).read_bytes() == clear
    header = Header.read(io.BytesIO(sealed))
    chunks = sealing.chunks(io.BytesIO(clear), header.raw, header.open_key(key))
    assert header.raw + b"".join(chunks) == sealed
    assert f"{sealing.CHUNK_BYTES} as written here" in PAGE


def test_equal_files_have_nothing_in_common(tmp_path: Path) -> None:
    first = sealed_file(tmp_path, content(100)).read_bytes()
    second = sealed_file(tmp_path, content(100)).read_bytes()
    assert first[:69] == second[:69]
    assert first[69 + 65 :] != second[69 + 65 :]
    assert first[HEAD:][:16] != second[HEAD:][:16]


@pytest.fixture(scope="module")
def three_chunks(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = sealed_file(tmp_path_factory.mktemp("three"), content(2 * CHUNK + 1000))
    return path.read_bytes()


@examples(max_examples=150)
@given(data=st.data())
def test_any_changed_byte_is_found(three_chunks: bytes, data: st.DataObject) -> None:
    """Half of the places are of the header."""
    ends = (HEAD, len(three_chunks))
    place = data.draw(st.sampled_from(ends).flatmap(lambda end: st.integers(0, end - 1)))
    changed = bytearray(three_chunks)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((SealBrokenError, WrongKeyError)):
        opened(bytes(changed))


@examples(max_examples=60)
@given(data=st.data())
def test_any_cut_is_found(three_chunks: bytes, data: st.DataObject) -> None:
    near = st.sampled_from([0, HEAD, HEAD + STEP, HEAD + 2 * STEP]).flatmap(
        lambda at: st.integers(max(0, at - 17), at + 17)
    )
    length = data.draw(near | st.integers(0, len(three_chunks) - 1))
    with pytest.raises(SealBrokenError):
        opened(three_chunks[:length])


def mixed(sealed: bytes) -> Iterator[bytes]:
    """Chunks in another order, twice, left out, and more of them."""
    head, body = sealed[:HEAD], sealed[HEAD:]
    a, b, c = body[:STEP], body[STEP : 2 * STEP], body[2 * STEP :]
    yield head + b + a + c
    yield head + a + a + b + c
    yield head + a + c
    yield head + b + c
    yield head + c
    yield head + a + b + c + c
    yield head + a + b + c + b"\0"
    yield head + a + b + c + bytes(16)


def test_chunks_stay_where_they_are(three_chunks: bytes) -> None:
    assert opened(three_chunks) == content(2 * CHUNK + 1000)
    for wrong in mixed(three_chunks):
        with pytest.raises(SealBrokenError):
            opened(wrong)


def test_a_file_does_not_go_on_with_another_ones_chunks(tmp_path: Path) -> None:
    one = sealed_file(tmp_path, content(2 * CHUNK), index=1).read_bytes()
    two = sealed_file(tmp_path, content(2 * CHUNK), index=2).read_bytes()
    assert len(one) == len(two)
    for wrong in (one[:-STEP] + two[-STEP:], one[:HEAD] + two[HEAD:]):
        with pytest.raises(SealBrokenError):
            opened(wrong)


def test_an_empty_last_chunk_is_no_second_spelling(tmp_path: Path) -> None:
    """Whoever knows a file's key could else make another file of the same content."""
    file = io.BytesIO(sealed_file(tmp_path, content(CHUNK)).read_bytes())
    header = Header.read(file)
    key = header.open_key(KEY)
    long = b"".join(sealing.chunks(io.BytesIO(content(CHUNK + 1)), header.raw, key))
    cipher = AES.new(key, AES.MODE_GCM, nonce=bytes(10) + b"\1\1", mac_len=16)
    cipher.update(header.raw)
    _, tag = cipher.encrypt_and_digest(b"")
    with pytest.raises(SealBrokenError):
        opened(header.raw + long[:STEP] + tag)


@pytest.mark.parametrize(
    ("job", "index", "kind"),
    [(OTHER_JOB, 0, "output"), (JOB, 1, "output"), (JOB, 0, "algorithmLog")],
)
def test_a_file_does_not_stand_in_for_another_one(
    tmp_path: Path, job: str, index: int, kind: ResultType
) -> None:
    path = sealed_file(tmp_path, b"one", job=job, index=index, kind=kind)
    with pytest.raises(SealBrokenError, match=f"result {index} of job {job}"):
        open_file(path, tmp_path / "clear", KEY, meant=(JOB, 0, "output"))
    assert os.listdir(tmp_path) == [path.name]
    meant = (job, index, kind)
    assert open_file(path, tmp_path / "clear", KEY, meant=meant).read_bytes() == b"one"


def test_another_key_is_told_apart_from_a_broken_file(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, b"one")
    with pytest.raises(WrongKeyError, match=public_key_of(KEY)):
        open_file(path, tmp_path / "clear", OTHER_KEY)
    assert os.listdir(tmp_path) == [path.name]


def test_a_broken_file_leaves_nothing_and_replaces_nothing(
    tmp_path: Path, three_chunks: bytes
) -> None:
    (tmp_path / "a.sealed").write_bytes(three_chunks[:-1])
    (tmp_path / "a").write_text("what was there")
    for overwrite in (False, True):
        with pytest.raises(SealBrokenError, match=r"a\.sealed cannot be opened"):
            open_file(tmp_path / "a.sealed", tmp_path / "a", KEY, overwrite=overwrite)
        assert sorted(os.listdir(tmp_path)) == ["a", "a.sealed"]
        assert (tmp_path / "a").read_text() == "what was there"


def test_a_file_that_is_there_is_kept_or_replaced_as_one_wishes(tmp_path: Path) -> None:
    sealed, target = sealed_file(tmp_path, b"new"), tmp_path / "a"
    target.write_text("new")
    assert open_file(sealed, target, KEY).read_bytes() == b"new"
    target.write_text("old")
    with pytest.raises(DownloadFailedError, match="--overwrite"):
        open_file(sealed, target, KEY)
    assert target.read_text() == "old"
    assert open_file(sealed, target, KEY, overwrite=True).read_bytes() == b"new"
    with pytest.raises(DownloadFailedError, match="cannot be opened"):
        open_file(sealed, tmp_path / "none" / "a", KEY)


def test_one_can_go_on_at_any_chunk(three_chunks: bytes) -> None:
    clear, file = content(2 * CHUNK + 1000), io.BytesIO(three_chunks)
    header = Header.read(file)
    key = header.open_key(KEY)
    for chunk in (0, 1, 2):
        file.seek(header.offset_of(chunk))
        assert b"".join(pieces(file, header, key, chunk)) == clear[chunk * CHUNK :]
    file.seek(header.offset_of(1))
    with pytest.raises(SealBrokenError):
        b"".join(pieces(file, header, key, 2))


def test_all_files_of_a_job_are_replaced_and_described_anew(tmp_path: Path) -> None:
    files = [
        ResultFile(0, "out/a.csv", 3, "", "output"),
        ResultFile(1, "algorithm.log", 0, "", "algorithmLog"),
    ]
    (tmp_path / "0").write_bytes(b"a,b")
    (tmp_path / "1").write_bytes(b"")
    sealed = sealing.seal_all(tmp_path, files, public_key_of(KEY), JOB)
    assert [(each.index, each.filename, each.type) for each in sealed] == [
        (0, "out/a.csv.sealed", "output"),
        (1, "algorithm.log.sealed", "algorithmLog"),
    ]
    for each in sealed:
        bytes_ = (tmp_path / str(each.index)).read_bytes()
        assert (each.filesize, each.sha256) == (len(bytes_), hashlib.sha256(bytes_).hexdigest())
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]


def test_a_full_disk_leaves_no_clear_text(tmp_path: Path) -> None:
    """The disk is full for the process that seals: it may not write files of more than 1 MiB."""
    folder = tmp_path / "results.partial"
    folder.mkdir()
    (folder / "0").write_bytes(content((1 << 20) - 100))
    code = (
        "import sys, signal; from pathlib import Path; from compute import sealing;"
        "from compute.models import ResultFile; from compute.errors import PublishingFailed\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: sealing.seal_all(Path(sys.argv[1]), [ResultFile(0, 'a', 0, '', 'output')],"
        " sys.argv[2], sys.argv[3])\n"
        "except PublishingFailed as error: print(error.public)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), public_key_of(KEY), JOB],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    assert done.stdout.strip() == f"results could not be stored: {os.strerror(errno.EFBIG)}"
    assert not folder.exists()


def test_a_process_that_lost_the_job_stops_and_leaves_the_folder_to_the_other(
    tmp_path: Path,
) -> None:
    (tmp_path / "0").write_bytes(content(3 * CHUNK))
    answers = iter([True, False])
    with pytest.raises(PublishingFailed, match="another process"):
        sealing.seal_all(
            tmp_path,
            [ResultFile(0, "a", 0, "", "output")],
            public_key_of(KEY),
            JOB,
            may_go_on=lambda: next(answers),
        )
    assert (tmp_path / "0").read_bytes() == content(3 * CHUNK)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """64 MiB are sealed and opened; the process takes less than 20 MiB (the figures are KiB)."""
    code = (
        "import sys, resource; from pathlib import Path; from compute import sealing;"
        "from compute.models import ResultFile; from provider.client.opening import open_file\n"
        "folder, key = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])\n"
        "with (folder / '0').open('wb') as file: file.truncate(64 << 20)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "files = [ResultFile(0, 'a', 0, '', 'output')]\n"
        "sealing.seal_all(folder, files, sys.argv[3], sys.argv[4])\n"
        "open_file(folder / '0', folder / 'clear', key)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    words = [str(tmp_path), KEY.hex(), public_key_of(KEY), JOB]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    assert int(done.stdout) < 20 << 10
    assert (tmp_path / "clear").stat().st_size == 64 << 20
    (tmp_path / "0").unlink()
    (tmp_path / "clear").unlink()
