"""Logistic regression in plain Python: what training and optimisation share."""

import csv
import io
import json
import math
import zipfile


def read_parts(path):
    """The parts of a prepared dataset by name: readings and whether the pump failed."""
    parts = {}
    with zipfile.ZipFile(path) as archive:
        for name in ("train", "validation", "test"):
            _, *lines = csv.reader(io.StringIO(archive.read(f"{name}.csv").decode()))
            parts[name] = [([float(v) for v in line[:-1]], int(line[-1])) for line in lines]
    return parts


def read_model(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("model.json"))


def predict(weights, readings):
    """How likely a failure is; the first weight stands alone."""
    sum_ = weights[0] + sum(w * v for w, v in zip(weights[1:], readings, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, sum_))))


def fit(weights, rows, *, epochs, rate, penalty):
    """Gradient descent over all rows at once, from ``weights`` on."""
    weights = list(weights)
    for epoch in range(epochs):
        slopes = [0.0] * len(weights)
        for readings, failed in rows:
            fault = predict(weights, readings) - failed
            for number, value in enumerate([1.0, *readings]):
                slopes[number] += fault * value
        for number, slope in enumerate(slopes):
            shrink = penalty * weights[number] if number else 0.0
            weights[number] -= rate * (slope / len(rows) + shrink)
        if (epoch + 1) % 20 == 0:
            print(f"epoch {epoch + 1}: loss {loss(weights, rows):.4f}", flush=True)
    return weights


def loss(weights, rows):
    """Mean logarithmic loss."""
    chances = [(predict(weights, readings), failed) for readings, failed in rows]
    return -sum(math.log(p if failed else 1 - p) for p, failed in chances) / len(rows)


def accuracy(weights, rows):
    return sum((predict(weights, r) >= 0.5) == bool(f) for r, f in rows) / len(rows)


def metrics(weights, parts):
    return {
        "validation_loss": round(loss(weights, parts["validation"]), 6),
        "test_loss": round(loss(weights, parts["test"]), 6),
        "test_accuracy": round(accuracy(weights, parts["test"]), 4),
    }
