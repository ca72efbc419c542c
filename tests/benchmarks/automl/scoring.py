"""The score of written predictions, and why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.benchmarks.automl.data import Split

LEAST = 1e-15
"""Every probability is at least this, so that one wrong certainty costs 35 nats and no more."""


class ScoringError(ValueError):
    """Predictions cannot be scored; the message is the reason."""


def score_file(path: Path, parts: Split, metric: str) -> float:
    """Score a file of predictions; more is better.

    Raises
    ------
    ScoringError
        If the file is absent or does not hold one finite prediction per row and class.
    """
    if not path.exists():
        raise ScoringError("no predictions written")
    with np.load(path, allow_pickle=False) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    if parts.labels is None:
        if "values" not in held:
            raise ScoringError("no values among the predictions")
        return score_values(held["values"], parts.truth)
    if not {"probabilities", "classes"} <= held.keys():
        raise ScoringError("no probabilities or no classes among the predictions")
    aligned = align(held["probabilities"], held["classes"].tolist(), parts.labels)
    return score_probabilities(aligned, parts.truth, parts.labels, metric)


def score_values(values: NDArray[Any], truth: NDArray[Any]) -> float:
    """Negative root mean squared error, in the unit of the target."""
    if values.shape != truth.shape:
        raise ScoringError(f"{values.shape} values for {truth.shape} rows")
    if not np.isfinite(values).all():
        raise ScoringError("values are not finite")
    return -float(root_mean_squared_error(truth, values))


def align(probabilities: NDArray[Any], classes: list[str], labels: list[str]) -> NDArray[Any]:
    """Bring the columns, which stand for `classes`, into the order of `labels`."""
    if probabilities.ndim != 2 or probabilities.shape[1] != len(classes):
        raise ScoringError(f"{probabilities.shape} probabilities for {len(classes)} classes")
    absent = [label for label in labels if label not in classes]
    if absent:
        raise ScoringError(f"classes absent from the predictions: {', '.join(absent[:5])}")
    if not np.isfinite(probabilities).all():
        raise ScoringError("probabilities are not finite")
    return probabilities[:, [classes.index(label) for label in labels]]


def score_probabilities(
    aligned: NDArray[Any], truth: NDArray[Any], labels: list[str], metric: str
) -> float:
    """Area under the curve for two classes, negative logarithmic loss in nats for more."""
    if len(aligned) != len(truth):
        raise ScoringError(f"{len(aligned)} probabilities for {len(truth)} rows")
    if metric == "roc_auc":
        return float(roc_auc_score(truth == labels[1], aligned[:, 1]))
    clipped = np.clip(aligned.astype(float), LEAST, None)
    shares = clipped / clipped.sum(axis=1, keepdims=True)
    return -float(log_loss(truth, shares, labels=labels))
