"""What is kept with a model so that it can be proven later: schema, sample and split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.tabular.learners import predict_scores
from tasks.tabular.problem import Problem
from tasks.tabular.schema import Schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_ROWS = 200
"""Holdout rows whose scores are recorded when a model is trained."""

TOLERANCE = 1e-9
"""Largest difference between a recorded and a repeated score that counts as equal."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A model's contract and a sample of what it answered when it was trained.

    `sample` holds raw rows as JSON values, `scores` what the model gave for them, shape
    (n_sample, n_classes), or (n_sample,) in regression. `dataset` names the dataset version,
    `threshold` is the probability of the second of two classes from which the model says so.
    """

    dataset: dict[str, Any]
    schema: Schema
    problem: Problem
    metric: str
    learner: str
    seed: int
    sample: list[dict[str, Any]]
    scores: list[Any]
    threshold: float = 0.5

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as JSON-ready values; `from_json` reads them back."""
        return {
            "dataset": self.dataset,
            "schema": self.schema.to_json(),
            "problem": self.problem.to_json(),
            "metric": self.metric,
            "learner": self.learner,
            "seed": self.seed,
            "sample": self.sample,
            "scores": self.scores,
            "threshold": self.threshold,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Evidence:
        """Read what `to_json` wrote."""
        parsed = {
            "schema": Schema.from_json(content["schema"]),
            "problem": Problem.from_json(content["problem"]),
        }
        return cls(**{**content, **parsed})


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of `frame` as JSON values: missing is null, a date is ISO 8601.

    Floats survive the trip through JSON to the bit.
    """
    return [
        {str(name): _json_value(value) for name, value in row.items()}
        for row in frame.astype(object).to_dict(orient="records")
    ]


def largest_difference(model: Any, evidence: Evidence) -> float:
    """Score the sample again and return how far the scores are from the recorded ones."""
    rows = pd.DataFrame(evidence.sample, columns=list(evidence.schema.names))
    return difference(predict_scores(model, rows, evidence.problem), np.asarray(evidence.scores))


def difference(scores: NDArray[Any], recorded: NDArray[Any]) -> float:
    """Return the largest absolute difference; infinity where shapes or missing values differ."""
    if scores.shape != recorded.shape or not np.isfinite(scores).all():
        return float("inf")
    return float(np.abs(scores - recorded).max(initial=0.0))


def _json_value(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
