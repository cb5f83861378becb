"""Go on from a trained model with several settings; keep what does best on the validation rows,
which may be the model as it was."""

import json
import os
from pathlib import Path

import regression

INPUTS, OUTPUTS = Path(os.environ["INPUTS"]), Path(os.environ["OUTPUTS"])
config = json.loads(Path(os.environ["CONFIG_FILE"]).read_text())

parts = regression.read_parts(INPUTS / "stages/0/dataset")
best = regression.read_model(INPUTS / "stages/0/model")["weights"]
given = best
for rate in config["rates"]:
    for penalty in config["penalties"]:
        print(f"rate {rate}, penalty {penalty}", flush=True)
        tried = regression.fit(
            given, parts["train"], epochs=config["epochs"], rate=rate, penalty=penalty
        )
        if regression.loss(tried, parts["validation"]) < regression.loss(best, parts["validation"]):
            best = tried
found = regression.metrics(best, parts)
print(json.dumps({"before": regression.metrics(given, parts), "after": found}))
(OUTPUTS / "model.json").write_text(json.dumps({"weights": best}))
(OUTPUTS / "metrics.json").write_text(json.dumps(found))
