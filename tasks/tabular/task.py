"""What a search is about, and what it tries."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.splitting import crossed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from tasks.tabular.jobs import FoldResult
    from tasks.tabular.metrics import Metric
    from tasks.tabular.problem import Problem
    from tasks.tabular.resampling import Balancing
    from tasks.tabular.schema import Schema
    from tasks.tabular.spec import PipelineSpec
    from tasks.tabular.splitting import Fold
    from tasks.tabular.zoo.entry import Params

FOLDS = 8
"""Of a cross-validation at random: each model misses an eighth of the rows. A search that has no
time for all of them runs some."""


@dataclass(frozen=True)
class Task:
    """What is searched over: training rows, what to predict and how it is judged.

    `crossed` are the folds of a cross-validation, pairs of positions in `rows`, by default
    those of `splitting.crossed`; `spec` replaces the learners' usual preparation, and
    `balancings` are tried with the best candidate. `threads` is what all fits may use together.
    """

    rows: pd.DataFrame
    y: pd.Series[Any]
    problem: Problem
    schema: Schema
    metric: Metric
    seed: int
    threads: int
    crossed: tuple[Fold, ...] = ()
    spec: PipelineSpec | None = None
    balancings: tuple[Balancing, ...] = ()

    @cached_property
    def codes(self) -> NDArray[Any]:
        """Class codes, or the target's values."""
        return self.problem.encode(self.y)

    @cached_property
    def folds(self) -> list[Fold]:
        """The folds candidates are judged on."""
        if self.crossed:
            return list(self.crossed)
        return crossed(self.y, self.problem, self.usual_folds, seed=self.seed)

    @property
    def usual_folds(self) -> int:
        """How many folds there are where nobody says so: no more than rows of a class."""
        if self.problem.kind == "regression":
            return FOLDS
        return int(np.clip(self.y.value_counts().iloc[-1], 2, FOLDS))

    @cached_property
    def whole(self) -> bool:
        """Whether every row is validated once, so that the models of the folds make a bag."""
        validated = np.concatenate([validation for _, validation in self.folds])
        each_once = len(validated) == len(self.y) and len(np.unique(validated)) == len(self.y)
        return each_once and len(self.folds) > 1


@dataclass(slots=True)
class Trial:
    """A configuration and how far it has come; what becomes a `Candidate`."""

    number: int
    learner: str
    params: Params
    origin: str
    balancing: Balancing | None = None
    results: dict[int, FoldResult] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    error: str = ""
    dropped: bool = False
    gone: bool = False
    """Whether its models were deleted, to make room."""

    @property
    def score(self) -> float:
        """Mean over the folds that were run; minus infinity if it failed or none was."""
        if self.error or not self.results:
            return -np.inf
        return float(np.mean([each.score for each in self.results.values()]))

    @property
    def fold_seconds(self) -> float:
        """Wall seconds a fold takes."""
        times = [each.fit_seconds + each.predict_seconds for each in self.results.values()]
        return float(np.mean(times)) if times else 0.0

    @property
    def settled(self) -> Params:
        """Parameters for a fit on all rows: the middle of what the folds have come to."""
        found = dict(self.params)
        for key in {key for each in self.results.values() for key in each.settled}:
            values = [each.settled[key] for each in self.results.values() if key in each.settled]
            middle = float(np.median(values))
            whole = all(isinstance(each, int) for each in values)
            found[key] = int(np.ceil(middle)) if whole else middle
        return found


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration that was tried: its metric per fold, greater is better, and its cost.

    Seconds are sums over the folds; `row_seconds` is the time to score one prepared row, `size`
    in bytes. `scores` are its out-of-fold scores, NaN where a row was not validated; `error`
    says why it has none.
    """

    number: int
    learner: str
    params: Params
    fold_scores: tuple[float, ...]
    fit_seconds: float
    predict_seconds: float
    error: str = ""
    origin: str = ""
    row_seconds: float = 0.0
    size: int = 0
    weight: float = 0.0
    balancing: Balancing | None = None
    scores: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)

    @property
    def score(self) -> float:
        """Mean over the folds; minus infinity for a candidate that failed."""
        return float(np.mean(self.fold_scores)) if self.fold_scores else -np.inf


def candidate(task: Task, trial: Trial, weights: Mapping[int, float]) -> Candidate:
    """Return what is told of a trial."""
    results = [trial.results[fold] for fold in sorted(trial.results)]
    scores = None
    if results and not trial.error:
        scores = np.full((len(task.y), *results[0].scores.shape[1:]), np.nan)
        for each in results:
            scores[task.folds[each.fold][1]] = each.scores
    return Candidate(
        trial.number,
        trial.learner,
        trial.params,
        () if trial.error else tuple(each.score for each in results),
        sum(each.fit_seconds for each in results),
        sum(each.predict_seconds for each in results),
        trial.error,
        trial.origin,
        float(np.median([each.row_seconds for each in results])) if results else 0.0,
        sum(each.size for each in results),
        weights.get(trial.number, 0.0),
        trial.balancing,
        scores,
    )
