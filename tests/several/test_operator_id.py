"""Processes that start at once for the first time agree on the installation's name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from provider.sharing.operator_id import operator_id

ASK = """
import sys
from pathlib import Path
from provider.sharing.operator_id import operator_id

sys.stdin.read()
print(operator_id(Path(sys.argv[1])))
"""


def test_all_that_start_at_once_have_one_name(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.close()
    told = set()
    for process in processes:
        assert process.stdout
        told.add(process.stdout.read().strip())
        assert process.wait(120) == 0
        process.stdout.close()
    assert told == {operator_id(tmp_path)}
    assert len(told.pop()) == 16
    assert [path.name for path in tmp_path.iterdir()] == ["operator-id"]


def test_a_name_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "operator-id").write_text("0123456789abcdef\n")
    assert operator_id(tmp_path) == "0123456789abcdef"
