"""First stage: hand on what the task was given, the dataset and for an optimisation the model.

With network granted it could fetch them from anywhere; here the service has laid them out.
"""

import os
import shutil
from pathlib import Path

OUTPUTS = Path(os.environ["OUTPUTS"])

for name in ("DATASET_FILE", "MODEL_FILE"):
    given = os.environ.get(name)
    if given:
        target = OUTPUTS / name.partition("_")[0].lower()
        shutil.copyfile(given, target)
        print(f"{given}: {target.stat().st_size} bytes")
