"""What is missing stops the start, all of it told at once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from provider import preflight
from provider.errors import SettingsInvalid
from provider.settings import Settings


def settings(folder: Path, **changes: str) -> Settings:
    (folder / "assets").mkdir(exist_ok=True)
    given = {
        "PROVIDER_PRIVATE_KEY": "11" * 32,
        "DATA_DIR": str(folder / "data"),
        "ASSETS_DIR": str(folder / "assets"),
    }
    return Settings.from_environ(given | changes)


def test_an_existing_data_folder_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    preflight.check(settings(tmp_path))
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_missing_folders_are_told_together(tmp_path: Path) -> None:
    wrong = settings(tmp_path, ASSETS_DIR=str(tmp_path / "x"), FILES_DIR=str(tmp_path / "y"))
    with pytest.raises(SettingsInvalid) as caught:
        preflight.check(wrong)
    assert "ASSETS_DIR" in caught.value.public
    assert "FILES_DIR" in caught.value.public
    assert "make it or name another" in caught.value.public


def test_a_data_folder_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match="DATA_DIR"):
        preflight.check(settings(tmp_path, DATA_DIR=str(tmp_path / "file" / "data")))


@pytest.mark.skipif(os.geteuid() != 0, reason="drops root's capabilities")
def test_root_without_capabilities_is_refused(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; import sys; sys.path.insert(0, 'tests/http');"
        "from provider import preflight; from test_preflight import settings;"
        f"preflight.check(settings(Path({str(tmp_path)!r})))"
    )
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "runs as root without root's capabilities" in done.stderr


def test_secrets_of_jobs_are_not_put_on_a_disk(tmp_path: Path) -> None:
    on_disk = Path("/var/tmp") / tmp_path.name
    on_disk.mkdir()
    try:
        with pytest.raises(SettingsInvalid) as caught:
            preflight.check(settings(tmp_path, SECRETS_DIR=str(on_disk)))
    finally:
        on_disk.rmdir()
    assert "SECRETS_DIR" in caught.value.public
    assert "name a folder on a tmpfs" in caught.value.public
    with pytest.raises(SettingsInvalid) as caught:
        preflight.check(settings(tmp_path, SECRETS_DIR=str(on_disk)))
    assert "make it or name another in memory" in caught.value.public
    preflight.check(settings(tmp_path, SECRETS_DIR="/dev/shm"))
