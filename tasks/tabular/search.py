"""Find a good model in the time that is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from tasks.tabular.balancing import BalancingReport, BalancingTrial, choose
from tasks.tabular.errors import LeakageError, NoCandidateError
from tasks.tabular.fitting import FittedModel, fit, require_separate, threshold_of
from tasks.tabular.learners import FITTING_ERRORS, Learner, Params, make_model, predict_scores
from tasks.tabular.metrics import Metric, evaluate
from tasks.tabular.splitting import FOLDS, Fold, crossed, folds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from tasks.tabular.problem import Problem
    from tasks.tabular.resampling import Balancing
    from tasks.tabular.schema import Schema
    from tasks.tabular.spec import PipelineSpec

BALANCING_SHARE = 0.3
"""Of the budget, where something may be done about rare classes."""

DULL_DRAWS = 20
"""Draws in a row that are too slow for the time left before a search ends early."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model that was tried: its metric per fold, greater is better, and what it cost.

    `error` says why it has no score.
    """

    number: int
    learner: str
    params: Params
    fold_scores: tuple[float, ...]
    fit_seconds: float
    predict_seconds: float
    error: str = ""

    @property
    def score(self) -> float:
        """Mean over the folds; minus infinity for a candidate that failed."""
        return float(np.mean(self.fold_scores)) if self.fold_scores else -np.inf


@dataclass(frozen=True, slots=True)
class Task:
    """What is searched over: training rows, what to predict and how it is judged.

    `folds` are pairs of positions in `rows`, by default those of `splitting.folds`, and
    `crossed` those of a whole cross-validation; `spec` replaces the learners' usual
    preparation, and `balancings` are tried with the best candidate.
    """

    rows: pd.DataFrame
    y: pd.Series[Any]
    problem: Problem
    schema: Schema
    metric: Metric
    seed: int
    threads: int
    folds: tuple[Fold, ...] = ()
    crossed: tuple[Fold, ...] = ()
    spec: PipelineSpec | None = None
    balancings: tuple[Balancing, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best model, fitted on all training rows, and every candidate, best first."""

    fitted: FittedModel
    best: Candidate
    candidates: tuple[Candidate, ...]
    balancing: BalancingReport | None = None

    @property
    def model(self) -> Pipeline:
        """The fitted pipeline, raw columns in."""
        return self.fitted.pipeline


def search(
    task: Task,
    learners: Sequence[Learner],
    *,
    budget_seconds: float,
    clock: Callable[[], float],
    on_candidate: Callable[[Candidate], None] = lambda _candidate: None,
) -> SearchResult:
    """Try every learner's defaults, then what Optuna suggests, until the time is up.

    The time of the final fit is set aside, so the whole call keeps the budget as well as
    fit times can be foretold from those measured; the first candidate is tried whatever the
    budget. A learner that cannot handle the data costs its candidate, not the search.

    Raises
    ------
    NoCandidateError
        If no learner could be fitted.
    """
    share = BALANCING_SHARE if task.balancings else 0.0
    end = clock() + budget_seconds
    trials = _Trials(task, learners, end - share * budget_seconds, clock, on_candidate)
    trials.try_defaults()
    trials.try_suggestions()
    ranked = sorted(trials.done, key=lambda each: each.score, reverse=True)
    best = ranked[0]
    if not best.fold_scores:
        raise NoCandidateError(tuple(f"{each.learner}: {each.error}" for each in ranked))
    balancing = trials.balance(best, end) if task.balancings else None
    chosen = balancing.chosen if balancing else None
    everything = np.arange(len(task.rows))
    fitted = trials.fit(trials.learners[best.learner], best.params, everything, chosen)
    return SearchResult(fitted, best, tuple(ranked), balancing)


class _Trials:
    """The state of a running search."""

    def __init__(
        self,
        task: Task,
        learners: Sequence[Learner],
        deadline: float,
        clock: Callable[[], float],
        on_candidate: Callable[[Candidate], None],
    ) -> None:
        self.task = task
        self.learners = {learner.name: learner for learner in learners}
        self.done: list[Candidate] = []
        self._deadline = deadline
        self._clock = clock
        self._on_candidate = on_candidate
        self._folds = list(task.folds) or folds(task.y, task.problem, seed=task.seed)
        self._codes = task.problem.encode(task.y)

    def try_defaults(self) -> None:
        """Try each learner once as it comes."""
        for learner in self.learners.values():
            if self.done and self._clock() + self._final_fit() >= self._deadline:
                return
            self._try(learner, {})

    def try_suggestions(self) -> None:
        """Let Optuna choose learner and parameters while a candidate still fits the time."""
        usable = [name for name in self.learners if self._expected(name) is not None]
        if not usable:
            return
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=self.task.seed),
        )
        dull = 0
        while self._clock() < self._deadline and dull < DULL_DRAWS:
            trial = study.ask()
            name = trial.suggest_categorical("learner", usable)
            if self._clock() + (self._expected(name) or 0) + self._final_fit() > self._deadline:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                dull += 1
                continue
            dull = 0
            learner = self.learners[name]
            candidate = self._try(learner, learner.space(trial))
            if candidate.fold_scores:
                study.tell(trial, candidate.score)
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def balance(self, best: Candidate, end: float) -> BalancingReport:
        """Try the task's balancings with the best candidate while they fit the time."""
        learner = self.learners[best.learner]
        task = self.task
        judged = list(task.crossed) or crossed(task.y, task.problem, FOLDS, seed=task.seed)
        final = self._final_fit() * 2  # balanced rows are more rows

        def judge(balancing: Balancing) -> BalancingTrial:
            return self._balanced(learner, best.params, balancing, judged)

        return choose(task.metric.name, task.balancings, judge, lambda: end - final - self._clock())

    def fit(
        self,
        learner: Learner,
        params: Params,
        rows: NDArray[np.intp],
        balancing: Balancing | None = None,
    ) -> FittedModel:
        """Fit a candidate's model on rows of the task, given by position."""
        task = self.task
        model = make_model(
            learner,
            params,
            task.problem,
            task.schema,
            seed=task.seed,
            threads=task.threads,
            spec=task.spec,
        )
        fitted = fit(
            model,
            task.rows.iloc[rows],
            task.y.iloc[rows],
            task.problem,
            task.schema,
            balancing=balancing,
            metric=task.metric.name,
            seed=task.seed,
        )
        return FittedModel(fitted.pipeline, rows[fitted.origins], fitted.made)

    def _balanced(
        self, learner: Learner, params: Params, balancing: Balancing, judged: Sequence[Fold]
    ) -> BalancingTrial:
        started = self._clock()
        scores: list[float] = []
        made = 0
        try:
            for fold in judged:
                fitted, score = self._judged(learner, params, fold, balancing)
                scores.append(score)
                repeated = len(fitted.origins) - len(np.unique(fitted.origins))
                made += fitted.made + repeated
        except LeakageError:
            raise
        except FITTING_ERRORS as failure:
            error = f"{type(failure).__name__}: {failure}"[:300]
            return BalancingTrial(balancing, (), self._clock() - started, error=error)
        return BalancingTrial(balancing, tuple(scores), self._clock() - started, made)

    def _judged(
        self, learner: Learner, params: Params, fold: Fold, balancing: Balancing | None
    ) -> tuple[FittedModel, float]:
        """Fit on a fold's training rows and score on the others, which took no part in it."""
        training, validation = fold
        fitted = self.fit(learner, params, training, balancing)
        require_separate(fitted.origins, validation, "validation fold")
        return fitted, self._score(fitted.pipeline, validation)

    def _score(self, model: Pipeline, validation: NDArray[np.intp]) -> float:
        task = self.task
        scores = predict_scores(model, task.rows.iloc[validation], task.problem)
        return evaluate(task.metric, self._codes[validation], scores, threshold_of(model))

    def _try(self, learner: Learner, params: Params) -> Candidate:
        scores: list[float] = []
        fit_seconds = predict_seconds = 0.0
        error = ""
        try:
            for fold in self._folds:
                score, fitting, predicting = self._fold(learner, params, fold)
                scores.append(score)
                fit_seconds += fitting
                predict_seconds += predicting
            if not np.isfinite(scores).all():
                error, scores = "its score is not a number", []
        except LeakageError:
            raise
        except FITTING_ERRORS as failure:
            error, scores = f"{type(failure).__name__}: {failure}"[:300], []
        candidate = Candidate(
            len(self.done), learner.name, params, tuple(scores), fit_seconds, predict_seconds, error
        )
        self.done.append(candidate)
        self._on_candidate(candidate)
        return candidate

    def _fold(self, learner: Learner, params: Params, fold: Fold) -> tuple[float, float, float]:
        training, validation = fold
        started = self._clock()
        fitted = self.fit(learner, params, training)
        require_separate(fitted.origins, validation, "validation fold")
        done = self._clock()
        score = self._score(fitted.pipeline, validation)
        return score, done - started, self._clock() - done

    def _expected(self, learner: str) -> float | None:
        """Seconds the next candidate of the learner may take; None if it never worked."""
        costs = [
            each.fit_seconds + each.predict_seconds
            for each in self.done
            if each.learner == learner and each.fold_scores
        ]
        return max(costs) if costs else None

    def _final_fit(self) -> float:
        """Seconds the fit of the best candidate on all training rows will take."""
        best = max(self.done, key=lambda each: each.score)
        training, validation = self._folds[0]
        growth = (len(training) + len(validation)) / len(training)
        return best.fit_seconds / len(self._folds) * growth
