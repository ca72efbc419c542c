"""Fit a whole model on training rows: filters, balancing, preparation, learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from tasks.tabular.errors import LeakageError, ResamplingError, TabularError
from tasks.tabular.resampling import MADE, Balancing, Resampled, resample
from tasks.tabular.splitting import child_seed

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tasks.tabular.learners import UnfittedModel
    from tasks.tabular.problem import Problem
    from tasks.tabular.schema import Schema

THRESHOLD_METRICS = ("accuracy", "balanced_accuracy", "f1_macro")
"""Metrics a decision threshold can be moved for; for others it is balanced accuracy."""

_THRESHOLD_FOLDS = 5


class NoRowsLeftError(TabularError):
    """The filters of a preparation leave no training rows, or one class of them."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        self.before = before
        self.after = after

    def __str__(self) -> str:
        return (
            f"prepare: the row filters leave {self.after} of {self.before} training rows, too "
            "few classes or rows to learn from; loosen drop_nulls or drop_duplicates"
        )


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
) -> FittedModel:
    """Fit a whole model; only the rows given are looked at.

    Parameters
    ----------
    rows : frame, shape (n_rows, n_columns)
        Training rows in the types of `conform`; columns beside the schema's are seen by the
        row filters alone.
    metric : str
        What a moved threshold is to be best for.

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
        weights = {"learner__sample_weight": compute_sample_weight("balanced", given.y)}
    elif balancing.method == "threshold":
        pipeline = _with_threshold(pipeline, problem, metric, seed)
    # threads of BLAS that wait for each other made small fits ten times slower on a busy
    # machine, and their number moves the last bits
    try:
        with threadpool_limits(1, user_api="blas"):
            pipeline.fit(given.rows, given.y, **weights)
    except ValueError as error:
        if balancing.method != "threshold" or isinstance(error, TabularError):
            raise
        raise ResamplingError("threshold", " ".join(str(error).split())[:300]) from error
    return FittedModel(pipeline, kept[_real(given)], int((given.origins == MADE).sum()))


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
    kept = np.arange(len(rows))
    for each in model.filters:
        looked_at = rows.iloc[kept].assign(**{problem.target: y.iloc[kept]})
        kept = kept[each.kept(looked_at)]
    if not len(kept) or (problem.kind != "regression" and y.iloc[kept].nunique() < 2):  # noqa: PLR2004
        raise NoRowsLeftError(len(rows), len(kept))
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
