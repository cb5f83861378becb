"""Learn to tell benign from malignant tumours, without the table leaving its owner.

Runs inside the provider's container: the table is /data/inputs/<did>/0, what is written
to /data/outputs is what the consumer may download.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay, confusion_matrix, roc_auc_score
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

OUTPUTS = Path(os.environ["OUTPUTS"])


def table() -> pd.DataFrame:
    did = json.loads(os.environ["DIDS"])[0]
    return pd.read_csv(Path(os.environ["INPUTS"]) / did / "0")


def main() -> None:
    patients = table()
    print(f"{len(patients)} patients, {patients.shape[1] - 1} measurements each", flush=True)
    malignant = patients.pop("diagnosis") == "malignant"

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = cross_val_score(model, patients, malignant, cv=5, scoring="roc_auc")
    print(f"cross-validated ROC AUC {folds.mean():.4f}", flush=True)

    seen, unseen, truth, hidden_truth = train_test_split(
        patients, malignant, test_size=0.3, stratify=malignant, random_state=7
    )
    model.fit(seen, truth)
    probability = model.predict_proba(unseen)[:, 1]
    (true_negative, false_positive), (false_negative, true_positive) = confusion_matrix(
        hidden_truth, probability >= 0.5
    )
    metrics = {
        "patients": len(patients),
        "held_out": len(unseen),
        "roc_auc": round(float(roc_auc_score(hidden_truth, probability)), 4),
        "roc_auc_cross_validated": round(float(folds.mean()), 4),
        "accuracy": round(float((true_positive + true_negative) / len(unseen)), 4),
        "sensitivity": round(float(true_positive / (true_positive + false_negative)), 4),
        "specificity": round(float(true_negative / (true_negative + false_positive)), 4),
    }
    (OUTPUTS / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    pd.DataFrame(
        {"row": unseen.index, "malignant": hidden_truth, "probability": probability.round(4)}
    ).to_csv(OUTPUTS / "predictions.csv", index=False)
    RocCurveDisplay.from_predictions(hidden_truth, probability, plot_chance_level=True)
    plt.title("Malignant or benign, held-out patients")
    plt.savefig(OUTPUTS / "plot.png", dpi=120)
    print("done", flush=True)


if __name__ == "__main__":
    main()
