"""Read what is asked for, label, and say in one line how it went.

Exit code 0 also when there was nothing to label; 1 with a line on stderr when the site cannot
be worked with. No line holds anything of the site's configuration.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .ending import Ending
from .faults import LabellingError, explained
from .matching import matcher
from .report import Report
from .run import label_rows
from .site import Site
from .task import Task


def main() -> int:
    ending = Ending()
    ending.listen()
    inputs = Path(os.environ.get("INPUTS", "/data/inputs"))
    outputs = Path(os.environ.get("OUTPUTS", "/data/outputs"))
    secrets = Path(os.environ.get("SECRETS", "/run/secrets"))
    task = Task.read(inputs / "algoCustomData.json")
    report = Report(outputs, task.task_id)
    try:
        config = json.loads((secrets / "site_config").read_text())
        with Site(config, task, inputs, outputs) as site:
            label_rows(task, site, matcher(task), report, ending)
    except LabellingError as error:
        return _failed(report, str(error))
    except Exception as error:
        # Whatever it is: its own text may quote what it was given, and the log is a result.
        return _failed(report, explained(error))
    print(f"received {report.received} rows, labelled {report.labelled}")
    return 0


def _failed(report: Report, text: str) -> int:
    report.fail(text)
    print(f"labelling failed: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
