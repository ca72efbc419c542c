"""Every figure that says how a model does on rows it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.calibration import expected_calibration_error
from tasks.tabular.errors import TabularError
from tasks.tabular.metrics import METRICS, evaluate

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem

COVERAGE = 0.9
"""Share of rows that the intervals of a regressor are to hold."""


def panel(
    problem: Problem, y: NDArray[Any], scores: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    """Return every metric of the problem's kind, greater is better, and the calibration error.

    Metrics that the target does not allow are left out.
    """
    found: dict[str, float] = {}
    for metric in METRICS.values():
        if problem.kind not in metric.kinds:
            continue
        try:
            value = evaluate(metric, y, scores, threshold)
        except TabularError:  # a logarithm of negative values, and the like
            continue
        if np.isfinite(value):
            found[metric.name] = value
    if problem.kind != "regression":
        found["expected_calibration_error"] = expected_calibration_error(y, scores)
    return found


def coverage(model: Any, rows: pd.DataFrame, y: NDArray[np.float64]) -> dict[str, float]:
    """Return the share of rows that lie in the model's intervals, and how wide these are."""
    if getattr(model, "residuals_", None) is None:
        return {}
    interval = model.predict_interval(rows, COVERAGE)
    inside = (interval[:, 0] <= y) & (y <= interval[:, 1])
    return {
        "interval_coverage_90": float(inside.mean()),
        "interval_width_90": float(np.mean(interval[:, 1] - interval[:, 0])),
    }
