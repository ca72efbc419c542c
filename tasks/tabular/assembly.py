"""From what a search has tried to the one model that is kept."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.pipeline import Pipeline

from tasks.tabular.calibration import choose_calibration
from tasks.tabular.calibrations import Isotonic
from tasks.tabular.ensemble import Member
from tasks.tabular.errors import ResamplingError
from tasks.tabular.fitting import FittedModel, threshold_of
from tasks.tabular.jobs import PreparedKey
from tasks.tabular.leaderboard import EnsembleLine
from tasks.tabular.metrics import METRICS, evaluate
from tasks.tabular.planning import Plan, Step
from tasks.tabular.recipes import Part, Recipe, ensemble, read, refit
from tasks.tabular.search_errors import NoCandidateError
from tasks.tabular.selection import blend, equal, mixed, on_folds
from tasks.tabular.stacking import CELLS, ROWS, crossed_scores, fit_stacker
from tasks.tabular.thresholds import best_threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tasks.tabular.calibrations import Calibration
    from tasks.tabular.features import Family
    from tasks.tabular.jobs import Bench
    from tasks.tabular.pool import Outcome
    from tasks.tabular.resampling import Balancing
    from tasks.tabular.stacking import Stacker
    from tasks.tabular.task import Task, Trial

_LOGGER = logging.getLogger(__name__)

Deploy = Literal["accurate", "fast"]
"""What is served: the best ensemble of the folds' models, or one model fitted on all rows."""

ENOUGH = 0.7
"""Of the gain of mixing all trials, what the mix of those with more folds must win: its weights
are surer, but where it lacks too many of the good trials it is not the better one."""

SURE_ROWS = 2_000
"""Rows below which a gain on them says nothing: then trials with more folds are preferred as long
as there are `SEVERAL`."""

SEVERAL = 4

TRIED = 2
"""Numbers of folds, the most first, that mixes are compared at, beside the least."""

RESIDUALS = 2_000
"""Residuals that are kept, at most: of more their quantiles."""

BLENDED = 3
"""Best candidates that are blended and stacked where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """The model that is kept: what it is made of and its out-of-fold metric."""

    fitted: FittedModel
    weights: dict[int, float]
    score: float
    lines: tuple[EnsembleLine, ...]
    threshold: float
    row_seconds: float
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class _Mix:
    """Weights of trials, their scores on the judged rows, and what corrects them."""

    name: str
    weights: dict[int, float]
    scores: NDArray[np.float64]
    score: float
    stacker: Stacker | None = None


@dataclass(frozen=True, slots=True)
class Assembly:
    """Makes one model of a plan's trials."""

    task: Task
    bench: Bench
    plan: Plan
    deploy: Deploy
    row_seconds: float
    moved: bool = False
    """Whether a threshold is asked for whatever the metric."""

    def make(
        self,
        fit_all: Callable[[list[Step]], list[Outcome]],
        *,
        ensemble: bool,
        select: int,
        balancing: Balancing | None,
        seconds_left: Callable[[], float],
    ) -> Assembled:
        """Weigh the trials, correct the probabilities, and put the model together."""
        pool, folds = self._comparable(balancing)
        rows, _ = on_folds(self.task, pool[0], folds)
        mixes = self._mixes(pool, folds, rows, ensemble=ensemble, select=select)
        models = {each.number: each for each in pool}
        bagged = self.task.whole and self.deploy == "accurate" and not self.plan.exact
        served = mixes[0]
        if self.row_seconds:
            served, bagged = self._fast_enough(mixes, models, folds, bagged=bagged)
        as_it_is = self.plan.exact or self.plan.balancing is not None or balancing is not None
        calibration = None if as_it_is else self._calibration(served, rows)
        scores = served.scores if calibration is None else calibration.apply(served.scores)
        codes = self.task.codes[rows]
        threshold, score = self._threshold(scores, codes)
        chosen = served.weights
        lines = tuple(
            EnsembleLine(each.name, each.score, {str(k): v for k, v in each.weights.items()})
            for each in mixes
        )
        recipe = Recipe(
            tuple(
                Part(
                    name_of(models[number]),
                    models[number].learner,
                    models[number].settled,
                    weight,
                    models[number].balancing,
                )
                for number, weight in chosen.items()
            ),
            served.stacker,
            calibration,
            threshold,
            self._residuals(scores, codes),
        )
        if bagged:
            fitted = self._bag(models, recipe, list(chosen))
        else:
            turns = int(np.ceil(len(recipe.parts) / self.plan.slots))
            seconds = None if self.plan.left is None else max(1.0, 0.9 * seconds_left() / turns)
            try:
                fitted = refit(self.bench, recipe, fit_all, seconds)
            except NoCandidateError as error:
                if not self.task.whole or self.plan.exact:
                    raise
                _LOGGER.warning("the folds' models are served instead: %s", error)
                fitted = self._bag(models, recipe, list(chosen))  # which is there already
            threshold = threshold_of(fitted.pipeline)
        row_seconds = timed(self.task, fitted.pipeline)
        return Assembled(fitted, chosen, score, lines, threshold, row_seconds, recipe)

    def _fast_enough(
        self, mixes: list[_Mix], models: Mapping[int, Trial], folds: range, *, bagged: bool
    ) -> tuple[_Mix, bool]:
        """Return the best mix that scores a row in the time asked for, and whether as a bag.

        Where none does, it is the fastest.
        """
        alone = [each for each in mixes if len(each.weights) == 1]
        known = {number for each in alone for number in each.weights}
        others = [trial for trial in models.values() if trial.number not in known]
        scores = {trial.number: on_folds(self.task, trial, folds)[1] for trial in others}
        codes = self.task.codes[on_folds(self.task, next(iter(models.values())), folds)[0]]
        alone += [self._mix(f"best {number}", {number: 1.0}, scores, codes) for number in scores]
        options = [(each, True) for each in mixes if bagged] + [(each, False) for each in alone]
        preparing = {
            family: self._preparing(family)
            for family in {self.bench.learners[each.learner].family for each in models.values()}
        }

        def seconds(option: tuple[_Mix, bool]) -> float:
            mix, many = option
            trials = [models[number] for number in mix.weights]
            families = {self.bench.learners[each.learner].family for each in trials}
            models_of = [len(each.results) if many else 1 for each in trials]
            each_row = sum(n * _row_seconds(t) for n, t in zip(models_of, trials, strict=True))
            return each_row + sum(preparing[family] for family in families)

        fitting = [each for each in options if seconds(each) <= self.row_seconds]
        if not fitting:
            return min(options, key=seconds)
        return max(fitting, key=lambda each: (each[0].score, each[1]))

    def _preparing(self, family: Family) -> float:
        """Return the seconds it takes to prepare one row, the second time."""
        files = sorted(self.bench.folder.glob(f"features-{family}-*.pickle"))
        if not files:
            return 0.0
        pipeline = read(files[0]).pipeline
        row = self.task.rows[list(self.task.schema.names)].iloc[:1]
        pipeline.transform(row)
        started = time.perf_counter()
        pipeline.transform(row)
        return time.perf_counter() - started

    def _comparable(self, balancing: Balancing | None) -> tuple[list[Trial], range]:
        """Return the trials that can be weighed against each other, and on which folds."""
        good = [t for t in self.plan.trials if t.results and not t.error and not t.gone]
        if balancing is not None:
            balanced = [each for each in good if each.balancing == balancing]
            good = balanced or good
        elif any(each.origin == "balancing" for each in good):
            good = [each for each in good if each.origin != "balancing"]
        good = [each for each in good if _prefix(each)]
        if not good:
            raise NoCandidateError(tuple(f"{t.learner}: {t.error}" for t in self.plan.trials))
        lengths = sorted({_prefix(each) for each in good}, reverse=True)
        lengths = [*lengths[:TRIED], lengths[-1]] if len(lengths) > TRIED + 1 else lengths
        pools = {n: [each for each in good if _prefix(each) >= n] for n in lengths}
        least = lengths[-1]
        rows, _ = on_folds(self.task, good[0], range(least))
        if len(rows) < SURE_ROWS:
            several = [n for n in lengths if len(pools[n]) >= min(SEVERAL, len(good))]
            return pools[several[0]], range(several[0])
        scores = {each.number: on_folds(self.task, each, range(least))[1] for each in good}
        codes = self.task.codes[rows]
        alone = max(evaluate(self.task.metric, codes, found) for found in scores.values())

        def gain(length: int) -> float:
            """Return what a mix of the trials with so many folds wins on the folds all have."""
            weights = blend(self.task, pools[length], range(length))
            return evaluate(self.task.metric, codes, mixed(scores, weights)) - alone

        wanted = ENOUGH * max(0.0, gain(least))
        length = next(n for n in lengths if n == least or gain(n) >= wanted)
        return pools[length], range(length)

    def _mixes(
        self,
        pool: list[Trial],
        folds: range,
        rows: NDArray[np.intp],
        *,
        ensemble: bool,
        select: int,
    ) -> list[_Mix]:
        """Return what could be served, the best first."""
        ranked = sorted(pool, key=lambda each: (-self._score(each, folds, rows), each.number))
        if select:
            ranked = ranked[:select]
        scores = {each.number: on_folds(self.task, each, folds)[1] for each in ranked}
        codes = self.task.codes[rows]
        best = ranked[0].number
        mixes = [self._mix(f"best {best}", {best: 1.0}, scores, codes)]
        if ensemble and len(ranked) > 1 and self.deploy == "accurate":
            weights = blend(self.task, ranked, folds)
            mixes.append(self._mix("greedy", weights, scores, codes))
            top = [each.number for each in ranked[: select or BLENDED]]
            mixes.append(self._mix(f"blend_{len(top)}", equal(top), scores, codes))
            asked = bool(select)
            mixes += self._stacks(list(weights) if not asked else top, scores, codes, asked=asked)
        return sorted(mixes, key=lambda each: -each.score)

    def _stacks(
        self,
        numbers: list[int],
        scores: Mapping[int, NDArray[np.float64]],
        codes: NDArray[Any],
        *,
        asked: bool,
    ) -> list[_Mix]:
        """Return the stack of some trials, if it was asked for or costs little."""
        given = [scores[number] for number in numbers]
        rows = np.unique(codes, return_counts=True)[1]
        if given[0].ndim > 1 and (len(rows) < 2 or rows.min() < 2):  # noqa: PLR2004 - one is no sample
            return []
        classes = given[0].shape[1] if given[0].ndim > 1 else 1
        cells = min(len(codes), ROWS) * len(given) * classes**2
        if len(given) < 2 or not (asked or cells <= CELLS):  # noqa: PLR2004 - one is no stack
            return []
        found = crossed_scores(given, codes, seed=self.task.seed)
        stacker = fit_stacker(given, codes, seed=self.task.seed)
        score = evaluate(self.task.metric, codes, found)
        return [_Mix(f"stack_{len(given)}", equal(numbers), found, score, stacker)]

    def _mix(
        self,
        name: str,
        weights: dict[int, float],
        scores: Mapping[int, NDArray[np.float64]],
        codes: NDArray[Any],
    ) -> _Mix:
        found = mixed(scores, weights)
        return _Mix(name, weights, found, evaluate(self.task.metric, codes, found))

    def _score(self, trial: Trial, folds: range, rows: NDArray[np.intp]) -> float:
        _, scores = on_folds(self.task, trial, folds)
        return evaluate(self.task.metric, self.task.codes[rows], scores)

    def _calibration(self, mix: _Mix, rows: NDArray[np.intp]) -> Calibration | None:
        if self.task.problem.kind == "regression":
            return None
        found = choose_calibration(self.task.codes[rows], mix.scores, seed=self.task.seed)
        ranks = self.task.metric.name in ("roc_auc", "roc_auc_ovo", "average_precision")
        return None if ranks and isinstance(found, Isotonic) else found  # whose ties cost ranks

    def _residuals(
        self, scores: NDArray[np.float64], codes: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        if self.task.problem.kind != "regression" or self.plan.exact:
            return None
        off = np.sort(np.abs(codes - scores))
        if len(off) <= RESIDUALS:
            return off
        return np.asarray(np.quantile(off, np.linspace(0, 1, RESIDUALS)))

    def _threshold(self, scores: NDArray[np.float64], codes: NDArray[Any]) -> tuple[float, float]:
        metric = self.task.metric
        binary = self.task.problem.kind == "binary"
        if self.moved:
            if not binary:
                raise ResamplingError("threshold", "there are not two classes")
            judged = metric if metric.needs == "labels" else METRICS["balanced_accuracy"]
            threshold = best_threshold(judged, codes, scores).threshold
            return threshold, evaluate(metric, codes, scores, threshold)
        if not binary or metric.needs != "labels" or self.plan.exact:
            return 0.5, evaluate(metric, codes, scores)
        found = best_threshold(metric, codes, scores)
        return found.threshold, found.score

    # the model

    def _bag(self, models: Mapping[int, Trial], recipe: Recipe, numbers: list[int]) -> FittedModel:
        """Put the models of the folds together: they are fitted already."""
        places: dict[str, int] = {}
        preparations: list[Any] = []
        members: list[Member] = []
        origins: list[NDArray[np.intp]] = []
        made = 0
        for number, part in zip(numbers, recipe.parts, strict=True):
            results = models[number].results
            for fold, result in sorted(results.items()):
                estimator = read(self.bench.folder / result.file)
                preparation, file = None, result.file
                if result.whole:
                    preparation, estimator = estimator[:-1], estimator[-1]
                else:
                    file = self._key(models[number], fold).file
                if file not in places:
                    places[file] = len(preparations)
                    preparations.append(preparation or read(self.bench.folder / file).pipeline)
                weight = part.weight / len(results)
                members.append(Member(part.name, places[file], estimator, weight))
                training = self.task.folds[fold][0]
                origins.append(training if result.origins is None else result.origins)
                made += result.made
        model = ensemble(self.bench, recipe, preparations, members)
        return FittedModel(Pipeline([("ensemble", model)]), np.concatenate(origins), made)

    def _key(self, trial: Trial, fold: int) -> PreparedKey:
        key = PreparedKey(self.bench.learners[trial.learner].family)
        separable = self.plan.separable.get(key, False)
        return key if separable else PreparedKey(key.family, fold)


def timed(task: Task, model: Pipeline) -> float:
    """Return the seconds one raw row takes, the second time."""
    rows = task.rows[list(task.schema.names)].iloc[:1]
    predict = model.predict if task.problem.kind == "regression" else model.predict_proba
    predict(rows)
    started = time.perf_counter()
    predict(rows)
    return time.perf_counter() - started


def name_of(trial: Trial) -> str:
    """Return what a trial is called in an ensemble."""
    return f"{trial.number:03d} {trial.learner}"


def _row_seconds(trial: Trial) -> float:
    return float(np.median([each.row_seconds for each in trial.results.values()]))


def _prefix(trial: Trial) -> int:
    """Return how many folds a trial has without a gap from the first."""
    length = 0
    while length in trial.results:
        length += 1
    return length
