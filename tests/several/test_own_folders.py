"""What a living process has in the making stays, what a dead one had goes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from provider.sharing.folders import own_folder

WORKER = """
import sys
from pathlib import Path
from provider.sharing.folders import own_folder

with own_folder(Path(sys.argv[1]), shared=True) as folder:
    (folder / "upload-half").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def a_process(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    command = [sys.executable, "-c", WORKER, str(parent)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_killed_process_leaves_nothing_and_a_living_one_keeps_all(tmp_path: Path) -> None:
    with a_process(tmp_path) as (killed, gone), a_process(tmp_path) as (_, kept):
        killed.kill()
        killed.wait()
        assert (gone / "upload-half").exists()
        with own_folder(tmp_path, shared=True) as mine:
            assert not gone.exists()
            assert (kept / "upload-half").read_text() == "half"
            assert list(mine.iterdir()) == []
            assert mine.stat().st_mode & 0o777 == 0o700
        assert not mine.exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".lock",
            kept.name,
            f"{kept.name}.lock",
        ]


def test_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    with a_process(tmp_path) as (process, folder):
        assert folder.exists()
        process.communicate("", timeout=120)
        assert process.returncode == 0
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_many_that_start_and_end_do_not_take_each_other_s(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(a_process(tmp_path))[1] for _ in range(5)]
        assert all((folder / "upload-half").exists() for folder in folders)
        assert len(set(folders)) == 5


def test_a_process_alone_has_the_folder_itself_and_what_others_left_goes(tmp_path: Path) -> None:
    with a_process(tmp_path) as (killed, gone):
        killed.kill()
        killed.wait()
    with own_folder(tmp_path, shared=False) as mine:
        assert mine == tmp_path
        assert not gone.exists()
