"""Train a model on the prepared dataset."""

import json
import os
from pathlib import Path

import regression

INPUTS, OUTPUTS = Path(os.environ["INPUTS"]), Path(os.environ["OUTPUTS"])
config = json.loads(Path(os.environ["CONFIG_FILE"]).read_text())

parts = regression.read_parts(INPUTS / "stages/0/dataset")
start = [0.0] * (len(parts["train"][0][0]) + 1)
weights = regression.fit(
    start, parts["train"], epochs=config["epochs"], rate=config["rate"], penalty=config["penalty"]
)
found = regression.metrics(weights, parts)
print(json.dumps(found))
(OUTPUTS / "model.json").write_text(json.dumps({"weights": weights}))
(OUTPUTS / "metrics.json").write_text(json.dumps(found))
