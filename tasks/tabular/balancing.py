"""Whether something is done about rare classes: only what beats doing nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.fitting import THRESHOLD_METRICS
from tasks.tabular.resampling import Balancing, Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from tasks.tabular.problem import Problem

RARE = 0.2
"""Share of the rarest class below which a problem counts as imbalanced."""

SENSITIVE = ("average_precision", "accuracy", "balanced_accuracy", "f1_macro")
"""Metrics that balancing can be expected to move; ranks and likelihoods it hardly improves."""

_COSTS = {"class_weights": 1.2, "threshold": 6.0, "random_under": 1.0, "random_over": 2.0}
"""Times what doing nothing takes; the others make and fit up to twice the rows."""

_VAE_SECONDS = 40.0
"""To train on `vae.MAX_ROWS` rows with two cores."""

USUAL: tuple[Method, ...] = ("class_weights", "threshold", "random_over", "smote", "vae")
"""What is tried where nobody says what, cheapest first."""


@dataclass(frozen=True, slots=True)
class BalancingTrial:
    """One method on the same folds as doing nothing: metric per fold, greater is better.

    `made` counts the synthetic and repeated rows of all folds; `error` says why there is no
    score.
    """

    balancing: Balancing
    fold_scores: tuple[float, ...]
    seconds: float
    made: int = 0
    error: str = ""

    @property
    def score(self) -> float:
        """Mean over the folds; minus infinity for a method that failed."""
        return float(np.mean(self.fold_scores)) if self.fold_scores else -np.inf


@dataclass(frozen=True, slots=True)
class BalancingReport:
    """What was tried, doing nothing first, and what was chosen."""

    metric: str
    trials: tuple[BalancingTrial, ...]
    chosen: Balancing

    def gain(self, trial: BalancingTrial) -> tuple[float, float]:
        """Return the mean gain over doing nothing, fold by fold, and its standard error."""
        return _gain(trial, self.trials[0])

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {
            "metric": self.metric,
            "chosen": self.chosen.model_dump(mode="json"),
            "trials": [
                {
                    "method": each.balancing.method,
                    "ratio": each.balancing.ratio,
                    "fold_scores": list(each.fold_scores),
                    "seconds": round(each.seconds, 3),
                    "made": each.made,
                    "error": each.error,
                }
                for each in self.trials
            ],
        }


def candidates(
    asked: Method | str, y: pd.Series[Any], problem: Problem, metric: str
) -> tuple[Balancing, ...]:
    """Return what is to be tried: the method asked for, or with `auto` the usual ones.

    `auto` tries nothing where no class is rare, or the metric would hardly move.
    """
    if asked == "none" or problem.kind == "regression":
        return ()
    if asked != "auto":
        return (Balancing.model_validate({"method": asked}),)
    shares = y.value_counts(normalize=True)
    if shares.min() >= RARE or metric not in SENSITIVE:
        return ()
    movable = problem.kind == "binary" and metric in THRESHOLD_METRICS
    usual = [each for each in USUAL if each != "threshold" or movable]
    return tuple(Balancing(method=each) for each in usual)


def choose(
    metric: str,
    methods: Sequence[Balancing],
    judge: Callable[[Balancing], BalancingTrial],
    time_left: Callable[[], float],
) -> BalancingReport:
    """Try methods on the same folds and choose one only if it beats doing nothing.

    A method beats it if its mean gain over the folds is above twice the gain's standard error,
    which counts that folds share training rows [1]_; with several methods one standard error
    would choose noise every second time. One fold decides nothing.

    Parameters
    ----------
    judge : callable
        Fits and scores a method on every fold.
    time_left : callable
        Seconds; a method that is expected to take longer is not tried, and the report says so.

    References
    ----------
    .. [1] Nadeau and Bengio (2003), "Inference for the generalization error", Machine
       Learning 52.
    """
    nothing = judge(Balancing())
    trials = [nothing]
    for method in methods:
        needed, left = _expected(method, nothing), time_left()
        if needed > left:
            reason = f"not tried: it needs about {needed:.0f} s and {max(0.0, left):.0f} s are left"
            trials.append(BalancingTrial(method, (), 0.0, error=f"{reason}; raise the budget"))
            continue
        trials.append(judge(method))
    chosen, most = nothing, 0.0
    for trial in trials[1:]:
        gain, error = _gain(trial, nothing)
        if gain > max(2 * error, most):
            chosen, most = trial, gain
    return BalancingReport(metric, tuple(trials), chosen.balancing)


def _expected(method: Balancing, nothing: BalancingTrial) -> float:
    """Return the seconds a method may take, foretold from what doing nothing took."""
    fits = len(nothing.fold_scores) + 1  # the last on all training rows
    generating = _VAE_SECONDS * fits if method.method == "vae" else 0.0
    return _COSTS.get(method.method, 3.0) * nothing.seconds + generating


def _gain(trial: BalancingTrial, nothing: BalancingTrial) -> tuple[float, float]:
    if not trial.fold_scores or not nothing.fold_scores:
        return -np.inf, 0.0
    gains = np.subtract(trial.fold_scores, nothing.fold_scores)
    folds = len(gains)
    if folds == 1:
        return float(gains[0]), np.inf
    return float(gains.mean()), float(gains.std(ddof=1) * np.sqrt(1 / folds + 1 / (folds - 1)))
