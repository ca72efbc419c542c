"""The models that PyCaret's verbs make of a table, and how each can be made again."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from tasks.tabular.errors import UnknownNameError
from tasks.tabular.experiment_errors import UnknownModelError, UnsupportedLearnerError
from tasks.tabular.fitting import threshold_of
from tasks.tabular.leaderboard import rank
from tasks.tabular.learners import predict_scores, select
from tasks.tabular.metrics import evaluate
from tasks.tabular.pool import opened
from tasks.tabular.recipes import Part, Recipe
from tasks.tabular.search import SearchPolicy, finalized, search
from tasks.tabular.search_errors import NoCandidateError
from tasks.tabular.selection import mixed
from tasks.tabular.stacking import crossed_scores, fit_stacker
from tasks.tabular.task import Candidate
from tasks.tabular.verb_setup import SORT, by_fold, refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from tasks.tabular.problem import ProblemType
    from tasks.tabular.search import SearchResult
    from tasks.tabular.stacking import Stacker
    from tasks.tabular.task import Task
    from tasks.tabular.verb_setup import Table
    from tasks.tabular.zoo.entry import Learner, Params

FIT_SECONDS = 3_600.0
"""After which a single fit counts as hanging, where no budget is given."""

PLOTS: dict[ProblemType, dict[str, str]] = {
    "classification": {
        "auc": "roc",
        "pr": "precision_recall",
        "confusion_matrix": "confusion",
        "calibration": "calibration",
        "feature": "importances",
    },
    "regression": {
        "residuals": "residuals",
        "error": "predicted_vs_actual",
        "feature": "importances",
    },
}
"""PyCaret's names of plots and ours; the first is the usual one."""

_BOARD = (
    *("rank", "learner", "score", "low", "high", "tied", "front", "folds", "fit_seconds"),
    *("row_seconds", "size", "origin", "params", "error"),
)


@dataclass(frozen=True, slots=True)
class Made:
    """What was tried: how to make it again, what it came to, and the model if it was fitted.

    `task` says which folds and metric the candidate was judged by.
    """

    recipe: Recipe
    candidate: Candidate
    task: Task
    model: Pipeline | None = None
    saw_holdout: bool = False

    @property
    def part(self) -> Part:
        """The configuration of what is no ensemble."""
        return self.recipe.parts[0]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Out-of-fold scores of the training rows; NaN where a row was not validated."""
        assert self.candidate.scores is not None  # noqa: S101 - only what worked is handed on
        return self.candidate.scores

    def by_fold(self, sort: str = "") -> pd.DataFrame:
        """Return PyCaret's score grid."""
        return by_fold(self.task, self.scores, self.task.folds, sort)

    def judged(self, task: Task) -> tuple[float, ...]:
        """Return a metric on the folds it was fitted for; nothing if it failed."""
        scores = self.candidate.scores
        if scores is None or self.candidate.error:
            return ()
        return tuple(
            evaluate(task.metric, task.codes[rows], scores[rows]) for _, rows in self.task.folds
        )


class Models:
    """What was tried of a table since it was set up."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._tried: list[Made] = []
        self._made: dict[int, Made] = {}  # by identity: scikit-learn's models have no other

    def find(self, model: Any) -> Made | None:
        """Return what is known of a model."""
        return self._made.get(id(model))

    def made(self, verb: str, model: Any) -> Made:
        """Return what is known of a model, or raise `UnknownModelError`."""
        found = self.find(model)
        if found is None:
            raise UnknownModelError(verb, type(model).__name__)
        return found

    def single(self, verb: str, model: Any) -> Made:
        """Return what is known of a model that is no ensemble."""
        found = self.made(verb, model)
        if len(found.recipe.parts) > 1:
            what, instead = f"{verb} takes single models", "give those that it is made of"
            raise UnsupportedLearnerError(found.candidate.learner, what, instead)
        return found

    def several(
        self, verb: str, models: Iterable[Any], options: Mapping[str, Any], *, choose_better: bool
    ) -> list[Made]:
        """Return what is known of the models of an ensemble; refuse what it cannot be told."""
        self.table.understand(verb, options, SORT[self.table.kind])
        if options.get("fold") is not None:
            what = "the models' own out-of-fold scores are combined"
            raise refused(f"{verb}.fold", options["fold"], what, "leave it out")
        if choose_better:
            what = "the ensemble is returned"
            raise refused(f"{verb}.choose_better", choose_better, what, "see get_leaderboard()")
        found = [self.single(verb, each) for each in models]
        if len(found) < 2:  # noqa: PLR2004 - one model is no ensemble
            what = "one model is no ensemble"
            raise refused(f"{verb}.estimator_list", len(found), what, "give two or more")
        return found

    def policy(self, **given: Any) -> SearchPolicy:
        """Return what tries single models, each balanced as `setup` says."""
        return SearchPolicy(ensemble=False, deploy="fast", balancing=self.table.balancing, **given)

    def search(
        self,
        verb: str,
        task: Task,
        learners: Sequence[Learner],
        policy: SearchPolicy,
        *,
        seconds: float | None = None,
        held: Params | None = None,
    ) -> list[Made]:
        """Try configurations, take note of all, and return those that worked, best first.

        Parameters
        ----------
        seconds : float, optional
            After which no further learner is begun. Learners are then tried one after another.
        held : mapping, optional
            Parameters of all configurations that do not set them.

        Raises
        ------
        NoCandidateError
            If none worked.
        """
        started = time.monotonic()
        groups = [learners] if seconds is None else [[each] for each in learners]
        good: list[Made] = []
        failures: tuple[str, ...] = ()
        with opened(task.threads) as pool:
            for group in groups:
                left = FIT_SECONDS if seconds is None else seconds + started - time.monotonic()
                if left <= 0 and good:
                    break
                told: list[Candidate] = []
                result: SearchResult | None = None
                try:
                    result = search(
                        task,
                        [_holding(each, held or {}) for each in group],
                        budget_seconds=max(left, 1.0),
                        policy=policy,
                        pool=pool,
                        on_candidate=told.append,
                    )
                except NoCandidateError as error:
                    failures += error.failures
                for each in told:
                    part = Part(
                        each.learner,
                        each.learner,
                        {**(held or {}), **each.params},
                        1.0,
                        policy.balancing,
                    )
                    served = result is not None and each.number in result.weights
                    model = result.model if result is not None and served else None
                    found = self._note(verb, Recipe((part,)), each, task, model)
                    good += [] if each.error else [found]
        if not good:
            raise NoCandidateError(failures)
        return sorted(good, key=lambda each: (-each.candidate.score, each.candidate.number))

    def fit(self, made: Sequence[Made]) -> list[Pipeline]:
        """Return models fitted on the training rows; those that are not yet are fitted at once."""
        lacking = [each for each in made if each.model is None]
        fitted: list[Pipeline] = []
        if lacking:
            recipe = Recipe(_shared([each.part for each in lacking], np.ones(len(lacking))))
            whole = self._finalized(self.table.task, recipe)
            fitted = [whole] if len(lacking) == 1 else _apart(whole)
        waiting = iter(fitted)
        found = []
        for each in made:
            model = next(waiting) if each.model is None else each.model
            self._made[id(model)] = replace(each, model=model)
            found.append(model)
        return found

    def blended(self, members: Sequence[Made], shares: NDArray[np.float64]) -> Made:
        """Average what models answer."""
        weights = dict(enumerate((shares / shares.sum()).tolist()))
        scores = mixed(dict(enumerate(each.scores for each in members)), weights)
        return self._combined("blend", members, shares, scores)

    def stacked(self, members: Sequence[Made]) -> Made:
        """Fit a stacker on what models answer out of fold."""
        given = [each.scores for each in members]
        codes, seed = self.table.task.codes, self.table.seed
        known = np.isfinite(np.column_stack(given)).all(axis=1)
        judged = [each[known] for each in given]
        scores = np.full_like(given[0], np.nan)
        scores[known] = crossed_scores(judged, codes[known], seed=seed)
        stacker = fit_stacker(judged, codes[known], seed=seed)
        return self._combined("stack", members, np.ones(len(members)), scores, stacker)

    def _combined(
        self,
        name: str,
        members: Sequence[Made],
        shares: NDArray[np.float64],
        scores: NDArray[np.float64],
        stacker: Stacker | None = None,
    ) -> Made:
        """Fit several models as one on the training rows; its cost is the sum of theirs."""
        recipe = Recipe(_shared([each.part for each in members], shares), stacker)
        tried = [each.candidate for each in members]
        candidate = Candidate(
            number=0,
            learner=f"{name} of {', '.join(each.learner for each in tried)}",
            params={},
            fold_scores=(),
            fit_seconds=sum(each.fit_seconds for each in tried),
            predict_seconds=sum(each.predict_seconds for each in tried),
            row_seconds=sum(each.row_seconds for each in tried),
            size=sum(each.size for each in tried),
            scores=scores,
        )
        model = self._finalized(self.table.task, recipe)
        found = self._note(f"{name}_models", recipe, candidate, members[0].task, model)
        self._made[id(model)] = found
        return found

    def finalize(self, made: Made) -> Pipeline:
        """Fit on all rows."""
        model = self._finalized(self.table.whole, made.recipe)
        self._made[id(model)] = replace(made, model=model, saw_holdout=True)
        return model

    def leaderboard(self, sort: str) -> pd.DataFrame:
        """Rank all that was tried by a metric."""
        task = self.table.judged(sort, None)
        tried = [replace(each.candidate, fold_scores=each.judged(task)) for each in self._tried]
        board = rank(task.metric, tried, task.codes, seed=task.seed)
        frame = pd.DataFrame(board.to_json(), columns=list(_BOARD))
        return frame.rename(columns={"learner": "model"}).set_index("rank")

    def drawn(self, model: Any, plot: str) -> bytes:
        """Return the PNG picture of a model's answers for the rows held out."""
        from tasks.tabular import pictures, plots  # noqa: PLC0415 - most scripts draw nothing

        table, task, known = self.table, self.table.task, PLOTS[self.table.kind]
        if plot not in known:
            raise UnknownNameError(f"plot for {table.kind}", plot, tuple(known))
        rows = table.holdout
        codes = task.problem.encode(table.y.iloc[table.parts.holdout])
        if plot == "feature":
            features = rows[list(task.schema.names)]
            measured = pictures.importances(
                model, features, codes, task.problem, task.metric, seed=task.seed
            )
            return plots.importances_plot(*measured).png
        scores = predict_scores(model, rows, task.problem)
        drawn = plots.evaluation_plots(task.problem, codes, scores, threshold_of(model))
        return drawn[known[plot]].png

    def _note(
        self, verb: str, recipe: Recipe, candidate: Candidate, task: Task, model: Pipeline | None
    ) -> Made:
        params = recipe.parts[0].params if len(recipe.parts) == 1 else {}
        told = replace(candidate, number=len(self._tried), origin=verb, params=params)
        self._tried.append(Made(recipe, told, task, model))
        return self._tried[-1]

    def _finalized(self, task: Task, recipe: Recipe) -> Pipeline:
        names = dict.fromkeys(each.learner for each in recipe.parts)
        return finalized(task, recipe, select(names, task.problem.kind)).pipeline


def _shared(parts: Sequence[Part], shares: NDArray[np.float64]) -> tuple[Part, ...]:
    """Give parts names of their own and weights that sum to 1."""
    weights = (shares / shares.sum()).tolist()
    return tuple(
        replace(each, name=f"{place:03d} {each.learner}", weight=weight)
        for place, (each, weight) in enumerate(zip(parts, weights, strict=True))
    )


def _apart(whole: Pipeline) -> list[Pipeline]:
    """Return the fitted models of an ensemble, each as a pipeline of its own."""
    ensemble = whole[-1]
    return [
        Pipeline([*ensemble.preparations_[each.preparation].steps, ("learner", each.estimator)])
        for each in ensemble.members_
    ]


def _holding(learner: Learner, held: Params) -> Learner:
    """Return a learner with some parameters other than its usual ones."""
    if not held:
        return learner

    def build(usual: Any) -> Any:
        if usual is None:
            return None
        return lambda params, seed, threads: usual({**held, **params}, seed, threads)

    return replace(
        learner, classifier=build(learner.classifier), regressor=build(learner.regressor)
    )
