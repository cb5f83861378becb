"""Last stage: pack what the stage before wrote into the one file that the task is to make."""

import os
import zipfile
from pathlib import Path

WRITTEN = Path(os.environ["INPUTS"]) / "stages" / "1"
target = Path(os.environ["OUTPUTS"]) / f"output.{os.environ['OUTPUT_EXTENSION']}"

with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(WRITTEN.rglob("*")):
        if path.is_file():
            archive.write(path, path.relative_to(WRITTEN))
            print(f"packed {path.relative_to(WRITTEN)}")
print(f"{os.environ['TASK_TYPE']} made {os.environ['OUTPUT_UID']}: {target.stat().st_size} bytes")
