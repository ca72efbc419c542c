"""Fit a whole model on training rows: filters, balancing, preparation, learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from tasks.tabular.coding import takes_weights
from tasks.tabular.errors import (
    LeakageError,
    NoRowsLeftError,
    ResamplingError,
    TabularError,
)
from tasks.tabular.resampling import MADE, Balancing, Resampled, resample
from tasks.tabular.splitting import child_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tasks.tabular.learners import UnfittedModel
    from tasks.tabular.problem import Problem
    from tasks.tabular.schema import Schema
    from tasks.tabular.steps.base import RowStep

THRESHOLD_METRICS = ("accuracy", "balanced_accuracy", "f1_macro")
"""Metrics a decision threshold can be moved for; for others it is balanced accuracy."""

_THRESHOLD_FOLDS = 5


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fitted model and what it was fitted on.

    `origins` are the positions of the real rows, as often as each was used; `made` counts
    synthetic rows.
    """

    pipeline: Pipeline
    origins: NDArray[np.intp]
    made: int

    def uses(self, rows: int) -> NDArray[np.int64]:
        """Return how often each of `rows` given rows was used, shape (rows,)."""
        return np.bincount(self.origins, minlength=rows).astype(np.int64)


def fit(
    model: UnfittedModel,
    rows: pd.DataFrame,
    y: pd.Series[Any],
    problem: Problem,
    schema: Schema,
    *,
    balancing: Balancing | None = None,
    metric: str = "",
    seed: int = 0,
    watched: tuple[pd.DataFrame, pd.Series[Any]] | None = None,
    stop_at: float | None = None,
) -> FittedModel:
    """Fit a whole model; only the rows given are looked at.

    Parameters
    ----------
    rows : frame, shape (n_rows, n_columns)
        Training rows in the types of `conform`; columns beside the schema's are seen by the
        row filters alone.
    metric : str
        What a moved threshold is to be best for.
    watched : pair of frame and series, optional
        Other rows that a learner which `stops` watches to find its end.
    stop_at : float, optional
        Instant of `time.monotonic` at which such a learner ends with what it has.

    Raises
    ------
    ResamplingError
        If the classes cannot be balanced as asked.
    StepError
        If a step of the preparation cannot be fitted.
    """
    balancing = balancing or Balancing()
    if balancing.method != "none" and problem.kind == "regression":
        raise ResamplingError(balancing.method, "a quantity has no classes")
    kept = _kept(model, rows, y, problem)
    given = resample(
        rows.iloc[kept][list(schema.names)],
        y.iloc[kept],
        schema,
        balancing,
        seed=child_seed(seed, "resampling"),
    )
    pipeline = model.pipeline
    weights: dict[str, Any] = {}
    if balancing.method == "class_weights":
        weights = balanced_weights(pipeline[-1], given.y)
    elif balancing.method == "threshold":
        pipeline = _with_threshold(pipeline, problem, metric, seed)
    # threads of BLAS that wait for each other made small fits ten times slower on a busy
    # machine, and their number moves the last bits
    try:
        with threadpool_limits(1, user_api="blas"):
            features = fit_features(pipeline[:-1], given)
            stops = model.stops and balancing.method != "threshold"  # which fits several
            if stops and watched is not None:
                weights["validation"] = (pipeline[:-1].transform(watched[0]), watched[1])
            if stops and stop_at is not None:
                weights["stop_at"] = stop_at
            pipeline[-1].fit(features, given.y, **weights)
    except ValueError as error:
        if balancing.method != "threshold" or isinstance(error, TabularError):
            raise
        raise ResamplingError("threshold", " ".join(str(error).split())[:300]) from error
    return FittedModel(pipeline, kept[_real(given)], int((given.origins == MADE).sum()))


def fit_features(features: Pipeline, given: Resampled) -> Any:
    """Fit a preparation on real rows, each once, and return the features of all rows.

    A row that is repeated has the features of the one it repeats: were its copies fitted on,
    an encoding by the target would tell each of them the target of the others. What was made
    up is transformed as rows of the future are.
    """
    if not features.steps:
        return given.rows
    real = given.origins != MADE
    places, first, back = np.unique(given.origins[real], return_index=True, return_inverse=True)
    once = np.flatnonzero(real)[first]
    found = features.fit_transform(given.rows.iloc[once], given.y.iloc[once])
    if len(places) == len(given.rows) and (np.diff(given.origins) > 0).all():
        return found
    parts = [_taken(found, back)]
    if not real.all():
        parts.append(features.transform(given.rows[~real]))
    return _stacked(parts)


def _taken(features: Any, places: NDArray[np.intp]) -> Any:
    return features.iloc[places] if isinstance(features, pd.DataFrame) else features[places]


def _stacked(parts: list[Any]) -> Any:
    if isinstance(parts[0], pd.DataFrame):
        return pd.concat(parts, ignore_index=True)
    return sparse.vstack(parts, "csr") if sparse.issparse(parts[0]) else np.vstack(parts)


def balanced_weights(learner: Any, y: Any) -> dict[str, Any]:
    """Return what a learner's `fit` is given for its classes to count alike.

    Raises
    ------
    ResamplingError
        If it takes no weights.
    """
    if not takes_weights(learner):
        why = "the learner takes no weights; resample, or move the threshold"
        raise ResamplingError("class_weights", why)
    return {"sample_weight": compute_sample_weight("balanced", y)}


def threshold_of(pipeline: Pipeline) -> float:
    """Return the probability of the second class from which a fitted model says so."""
    return float(getattr(pipeline[-1], "best_threshold_", 0.5))


def require_separate(origins: NDArray[np.intp], judged: NDArray[np.intp], where: str) -> None:
    """Raise `LeakageError` if a row that is judged on was fitted on, itself or repeated.

    Synthetic rows have no position, so no position that is judged on can be one.
    """
    shared = np.intersect1d(origins, judged)
    if len(shared) or (judged < 0).any():
        raise LeakageError(where, tuple(shared.tolist()))


def _kept(
    model: UnfittedModel, rows: pd.DataFrame, y: pd.Series[Any], problem: Problem
) -> NDArray[np.intp]:
    """Return the positions the row filters leave; duplicates are equal in their target too."""
    kept = np.flatnonzero(filtered(model.filters, rows, y, problem.target))
    if not len(kept) or (problem.kind != "regression" and y.iloc[kept].nunique() < 2):  # noqa: PLR2004
        raise NoRowsLeftError(len(rows), len(kept))
    return kept


def filtered(
    filters: Sequence[RowStep], rows: pd.DataFrame, y: pd.Series[Any] | None, target: str
) -> NDArray[np.bool_]:
    """Return which rows the filters leave, shape (n_rows,); the target counts for duplicates."""
    looked_at = rows.copy(deep=False)
    if y is not None:
        looked_at[target] = y
    kept = np.ones(len(rows), dtype=bool)
    for each in filters:
        kept[kept] = each.kept(looked_at[kept])
    return kept


def _real(given: Resampled) -> NDArray[np.intp]:
    return np.asarray(given.origins[given.origins != MADE])


def _with_threshold(pipeline: Pipeline, problem: Problem, metric: str, seed: int) -> Pipeline:
    if problem.kind != "binary":
        raise ResamplingError("threshold", "there are more than two classes")
    *steps, (name, learner) = pipeline.steps
    tuned = TunedThresholdClassifierCV(
        learner,
        scoring=metric if metric in THRESHOLD_METRICS else "balanced_accuracy",
        cv=StratifiedKFold(
            _THRESHOLD_FOLDS, shuffle=True, random_state=child_seed(seed, "threshold") % 2**31
        ),
    )
    return Pipeline([*steps, (name, tuned)])
