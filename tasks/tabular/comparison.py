"""Whether the challenger is better than the champion, on rows neither has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.errors import IncomparableError, OtherProblemError
from tasks.tabular.metrics import Metric, evaluate
from tasks.tabular.schema import Schema, conform
from tasks.tabular.splitting import row_hashes

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem

RESAMPLES = 300
MIN_ROWS = 30


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """What a challenger has to show.

    More than `minimum_gain` of the metric above the champion, or above a constant prediction
    where there is no champion.
    """

    minimum_gain: float = 0.0


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Both scores on the same rows, greater is better, and the gain's 95 % interval.

    The interval comes from resampling rows with the two predictions kept paired.
    """

    metric: str
    rows: int
    challenger: float
    champion: float
    gain_low: float
    gain_high: float

    @property
    def gain(self) -> float:
        """How much more of the metric the challenger has."""
        return self.challenger - self.champion

    def passes(self, policy: PromotionPolicy) -> bool:
        """Whether the gain is above what the policy asks."""
        return self.gain > policy.minimum_gain


def compare(
    metric: Metric,
    y: NDArray[Any],
    challenger: NDArray[Any],
    champion: NDArray[Any],
    *,
    seed: int,
    thresholds: tuple[float, float] = (0.5, 0.5),
) -> ComparisonReport:
    """Compare two models' scores on the same rows.

    Parameters
    ----------
    y : array, shape (n_rows,)
        Class codes, or the target's values.
    challenger, champion : arrays, shape (n_rows, n_classes), or (n_rows,) in regression
        What `predict_scores` gave for the same rows.
    thresholds : pair of float
        Of challenger and champion, see `decide`.

    Raises
    ------
    IncomparableError
        If there are too few rows to compare on.
    """
    if len(y) < MIN_ROWS:
        raise IncomparableError(len(y), MIN_ROWS)

    def scored(rows: Any) -> tuple[float, float]:
        own, other = thresholds
        return (
            evaluate(metric, y[rows], challenger[rows], own),
            evaluate(metric, y[rows], champion[rows], other),
        )

    gains = [own - other for own, other in map(scored, _resamples(y, seed))]
    low, high = np.quantile(gains, [0.025, 0.975]) if gains else (-np.inf, np.inf)
    return ComparisonReport(
        metric.name,
        len(y),
        *scored(slice(None)),
        float(low),
        float(high),
    )


def constant_scores(training_y: NDArray[Any], rows: int, classes: int) -> NDArray[np.float64]:
    """Return what the best model without features predicts: class shares, or the mean."""
    if not classes:
        return np.full(rows, float(np.mean(training_y)))
    shares = np.bincount(training_y.astype(int), minlength=classes) / len(training_y)
    return np.tile(shares, (rows, 1))


def check_same(challenger: Problem, champion: Problem) -> None:
    """Raise `OtherProblemError` unless both predict the same classes or quantity."""
    if challenger != champion:
        raise OtherProblemError(_words(challenger), _words(champion))


def unseen_rows(
    holdout: pd.DataFrame,
    learned: pd.DataFrame,
    schema: Schema,
    other: Schema,
    problem: Problem,
) -> pd.DataFrame:
    """Return the rows of `holdout` whose content is not among `learned`.

    Rows are compared in the columns both models use and the target, in the types models are
    given: the two tables may be versions whose raw types or other columns differ.
    """
    common = Schema(tuple(each for each in schema.columns if each.name in other.names))
    fresh, known = (
        row_hashes(conform(rows, common).assign(target=problem.encode(rows[problem.target])))
        for rows in (holdout, learned)
    )
    return holdout.loc[~np.isin(fresh, known)]


def _words(problem: Problem) -> str:
    return f"{problem.target!r} ({', '.join(map(str, problem.classes)) or problem.kind})"


def _resamples(y: NDArray[Any], seed: int) -> list[NDArray[np.intp]]:
    """Rows drawn with replacement; a draw that lost a class cannot be scored and is left out."""
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(y), len(y)) for _ in range(RESAMPLES)]
    if y.dtype.kind == "f":
        return draws
    classes = len(np.unique(y))
    return [rows for rows in draws if len(np.unique(y[rows])) == classes]
