"""Find the best model in the time that is given."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.tabular import portfolio
from tasks.tabular.assembly import Assembly, Deploy
from tasks.tabular.balancing import BalancingReport
from tasks.tabular.balancing_trials import BalancingTrials
from tasks.tabular.errors import LeakageError
from tasks.tabular.jobs import Bench, FoldJob, PrepareJob
from tasks.tabular.leaderboard import COMPARED, rank_key
from tasks.tabular.planning import Plan, Step
from tasks.tabular.pool import Limits, Outcome, Pool, opened, spare_memory
from tasks.tabular.proposals import Proposals, grid
from tasks.tabular.recipes import Recipe, refit
from tasks.tabular.search_errors import NoCandidateError, UnsuitableLearnerError
from tasks.tabular.task import Candidate, Task, Trial, candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import optuna
    from sklearn.pipeline import Pipeline

    from tasks.tabular.fitting import FittedModel
    from tasks.tabular.leaderboard import EnsembleLine
    from tasks.tabular.resampling import Balancing
    from tasks.tabular.zoo.entry import Learner, Params

BALANCING_SHARE = 0.3
"""Of the budget, where something may be done about rare classes."""

ROOM = 30
"""Complete candidates whose models are kept; a mix takes from the best of them."""

MEMORY_SHARE = 0.7
"""Of the memory that is free when a search starts, what its jobs may use together."""

Strategy = Literal["portfolio", "optuna", "random", "grid"]


@dataclass(frozen=True, slots=True)
class SearchPolicy:
    """How a search goes about it.

    `portfolio` tries configurations that do well on many tables, then what Optuna proposes;
    `optuna` starts from the learners' defaults, or from `starts`; `random` draws; `grid` tries
    every combination of `grid`, values by parameter by learner, and `params` fixes parameters of
    a learner. `trials` bounds the search by a number, which makes it repeatable to the byte.
    `ensemble` mixes the best (of the `select` best, if that is not 0), `deploy` says what may be
    served, and `row_seconds` what one row may take, 0 for any time. `study` is Optuna's, where
    it is kept; `shared` says that other searches use it at the same time.
    """

    strategy: Strategy = "portfolio"
    trials: int = 0
    ensemble: bool = True
    select: int = 0
    deploy: Deploy = "accurate"
    row_seconds: float = 0.0
    grid: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    params: Mapping[str, Params] = field(default_factory=dict)
    starts: Mapping[str, Params] = field(default_factory=dict)
    balancing: Balancing | None = None
    study: optuna.Study | None = None
    shared: bool = False

    @property
    def exact(self) -> bool:
        """Whether candidates are fitted exactly as given, as scikit-learn's searches do."""
        return self.strategy in ("grid", "random") or bool(self.params)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The model, and every candidate it was chosen from, best first.

    `best` is the best single candidate; `ensembles` are what was made of several, the served
    one first, `score` the out-of-fold metric of what is served.
    """

    fitted: FittedModel
    recipe: Recipe
    best: Candidate
    candidates: tuple[Candidate, ...]
    score: float
    ensembles: tuple[EnsembleLine, ...] = ()
    balancing: BalancingReport | None = None
    threshold: float = 0.5
    row_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def model(self) -> Pipeline:
        """The fitted pipeline, raw columns in."""
        return self.fitted.pipeline

    @property
    def weights(self) -> dict[int, float]:
        """The candidates that are served, by number, and their shares."""
        return {each.number: each.weight for each in self.candidates if each.weight}


def search(
    task: Task,
    learners: Sequence[Learner] = (),
    *,
    budget_seconds: float,
    policy: SearchPolicy | None = None,
    started: float | None = None,
    pool: Pool | None = None,
    on_candidate: Callable[[Candidate], None] = lambda _candidate: None,
) -> SearchResult:
    """Search for a model until the time is up, and return the best that was found.

    Fits run in processes of their own; one that fails, hangs or needs too much memory costs a
    line on the leaderboard. The whole call keeps the budget, what comes after the last fit
    included; one candidate is tried whatever the budget.

    Parameters
    ----------
    learners : sequence of Learner
        Those to try; none for the portfolio's.
    budget_seconds : float
        Wall seconds from `started`, an instant of `time.monotonic`, by default now.
    pool : Pool, optional
        One that is starting already; by default one is opened, which takes seconds.
    on_candidate : callable
        Told of every candidate whose folds are done, or that failed or was given up.

    Raises
    ------
    NoCandidateError
        If no learner could be fitted.
    LeakageError
        If a row that is judged on was fitted on.
    PoolError
        If the processes that fit are gone.
    """
    begun = time.monotonic() if started is None else started
    with nullcontext(pool) if pool is not None else opened(task.threads) as mine:
        run = _Run(
            task,
            learners,
            policy or SearchPolicy(),
            mine,
            on_candidate=on_candidate,
        )
        return run.until(begun, begun + budget_seconds)


class _Run:
    """A search that is going on."""

    def __init__(
        self,
        task: Task,
        learners: Sequence[Learner],
        policy: SearchPolicy,
        pool: Pool,
        *,
        on_candidate: Callable[[Candidate], None] = lambda _candidate: None,
    ) -> None:
        self.task = task
        self.policy = policy
        self.pool = pool
        self._on_candidate = on_candidate
        self._told: set[int] = set()
        self._steps: dict[int, Step] = {}
        self._exact = policy.exact
        method = policy.balancing.method if policy.balancing is not None else "none"
        self._moved = method == "threshold"
        self.learners = list(learners) or portfolio.usual_learners(task.problem.kind)
        self._kept = 0.0
        memory = int(MEMORY_SHARE * spare_memory() / pool.slots)
        self._memory = max(memory, 256 * 2**20)
        known = {each.name: each for each in self.learners}
        threads = max(1, task.threads // pool.slots)
        self.bench = Bench(task, task.folds, known, pool.folder, threads)
        pool.give(self.bench)

    def until(self, begun: float, deadline: float) -> SearchResult:
        """Search until the deadline and assemble what was found."""
        task, policy = self.task, self.policy
        share = BALANCING_SHARE if task.balancings else 0.0
        work_end = deadline - share * (deadline - begun)
        self._kept = min(0.1 * (deadline - begun), 1.2) + (
            0.25 * (deadline - begun) if self._refits else 0.0
        )
        self.plan = self._planned(begun, work_end)
        if policy.study is not None:  # whoever goes on with it is to know also of a run cut short
            self.plan.open_study()
        try:
            self._work(work_end)
        finally:
            self.plan.close()
        # what had come to nothing when the time was up says nothing
        self.plan.trials = [each for each in self.plan.trials if each.results or each.error]
        good = [each for each in self.plan.trials if not each.error]
        for trial in self.plan.trials:
            self._tell(trial)
        if not good:
            failures = tuple(f"{t.learner}: {t.error}" for t in self.plan.trials)
            raise NoCandidateError(failures or (self._nothing(),))
        balanced = None
        if task.balancings:
            trials = BalancingTrials(task, self.plan, self.run_all)
            best = max(good, key=lambda each: (len(each.results), each.score))
            counted = self.plan.left is None
            left = inf if counted else deadline - self._reserve() - 2 * best.fold_seconds
            balanced = trials.choose(best, lambda: left - (0.0 if counted else time.monotonic()))
            for trial in self.plan.trials:
                self._tell(trial)
        assembly = Assembly(
            task, self.bench, self.plan, policy.deploy, policy.row_seconds, self._moved
        )
        chosen = None if balanced is None else balanced.chosen
        found = assembly.make(
            self.fit_all,
            ensemble=policy.ensemble,
            select=policy.select,
            balancing=chosen if chosen is not None and chosen.method != "none" else None,
            seconds_left=lambda: deadline - time.monotonic(),
        )
        candidates = tuple(
            sorted(
                (candidate(task, each, found.weights) for each in self.plan.trials), key=rank_key
            )
        )
        candidates = tuple(
            each if place < COMPARED else replace(each, scores=None)
            for place, each in enumerate(candidates)
        )
        return SearchResult(
            found.fitted,
            found.recipe,
            candidates[0],
            candidates,
            found.score,
            found.lines,
            balanced,
            found.threshold,
            found.row_seconds,
            time.monotonic() - begun,
        )

    def _nothing(self) -> str:
        """Word why nothing was tried."""
        if self.policy.strategy == "grid":
            return "the grid has no learner"
        names = ", ".join(each.name for each in self.learners)
        return f"{names}: not for tables of {len(self.task.y)} rows"

    def _reserve(self) -> float:
        """Return the seconds that what comes after the last fit will take."""
        return self._kept + 3 * self.plan.blend_seconds

    @property
    def _refits(self) -> bool:
        """Whether what is served is fitted after the search, for which time is kept."""
        bounded = self.policy.row_seconds > 0
        fast = self.policy.deploy != "accurate"
        return not self.task.whole or fast or bounded or self._exact

    def _planned(self, begun: float, end: float) -> Plan:
        counted = self.policy.trials > 0 or self._exact
        entries = self._entries()
        return Plan(
            self.task,
            self.bench.learners,
            iter(entries),
            self._proposals,
            self.pool.slots,
            None if counted else lambda: end - self._reserve() - time.monotonic(),
            end - begun,
            trials_wanted=self.policy.trials or len(entries),
            exact=self._exact,
            balancing=None if self._moved else self.policy.balancing,
        )

    def _entries(self) -> list[tuple[str, Params]]:
        policy, task = self.policy, self.task
        if policy.strategy == "grid":
            for name in policy.grid:
                if name not in self.bench.learners:
                    raise UnsuitableLearnerError(name, "the grid has it and the search has not")
            return list(grid(policy.grid))
        rows, classes = len(task.y), len(task.problem.classes)
        if policy.params:
            return [(each.name, dict(policy.params.get(each.name, {}))) for each in self.learners]
        if policy.strategy == "portfolio":
            return portfolio.entries(self.learners, task.problem.kind, rows, classes)
        if policy.strategy == "random":
            return []
        return [(each.name, dict(policy.starts.get(each.name, {}))) for each in self.learners]

    def _proposals(self, trials: list[Trial]) -> Proposals | None:
        """Open a study over the learners that have done best."""
        policy = self.policy
        if policy.strategy == "grid" or (policy.params and not policy.trials):
            return None
        ranked = sorted((t for t in trials if not t.error and t.results), key=lambda t: -t.score)
        names = list(dict.fromkeys(trial.learner for trial in ranked))[:4]
        # others know a study by all learners' names, whichever did best here
        if policy.strategy in ("random", "optuna") or not names or policy.study is not None:
            names = [each.name for each in self.learners]
        return Proposals(
            [self.bench.learners[name] for name in names],
            seed=self.task.seed,
            study=policy.study,
            shared=policy.shared,
            random=policy.strategy == "random",
        )

    # the loop

    def _work(self, end: float) -> None:
        """Start what is next and take what has ended, until the time or the work is up."""
        while True:
            left = end - self._reserve() - time.monotonic()
            some = any(each.results for each in self.plan.trials)
            if left <= 0 and some and self.plan.left is not None:
                break
            while self.pool.free and (step := self.plan.next()) is not None:
                self._start(step)
                if left <= 0:
                    break
            if not self.pool.running:
                break
            for outcome in self.pool.wait(max(0.05, min(left, 0.5))):
                self._take(outcome)
        for number in list(self.pool.running):
            self.pool.cancel(number)

    def _start(self, step: Step) -> None:
        number = self.pool.submit(step.job, Limits(step.limit, self._memory))
        self._steps[number] = step
        self.plan.started(step)

    def _take(self, outcome: Outcome) -> None:
        step = self._steps.pop(outcome.number)
        if isinstance(outcome.value, LeakageError):
            raise outcome.value
        if isinstance(step.job, PrepareJob):
            if outcome.ending == "done":
                self.plan.prepared(step.job.key, separable=outcome.value)
            else:
                self.plan.unprepared(step.job.key, outcome.error)
            return
        trial = step.trial
        assert trial is not None and isinstance(step.job, FoldJob)  # noqa: PT018, S101 - what else is planned
        trial.running.discard(step.job.fold)
        if outcome.ending == "done" and not np.isfinite(outcome.value.scores).all():
            trial.error = "its scores are not numbers"
        elif outcome.ending == "done" and not np.isfinite(outcome.value.score):
            trial.error = "its score is not a number"
        elif outcome.ending == "done":
            trial.results[step.job.fold] = outcome.value
        elif not trial.results or outcome.ending == "failed" or self.plan.left is None:
            trial.error = outcome.error
        else:  # it has worked on other folds and took too long on this one
            trial.dropped = True
        self.plan.ended(trial)
        self._make_room()
        if trial.error or len(trial.results) == len(self.task.folds):
            self._tell(trial)

    def _tell(self, trial: Trial) -> None:
        if trial.number not in self._told:
            self._told.add(trial.number)
            self._on_candidate(candidate(self.task, trial, {}))

    def _make_room(self) -> None:
        """Delete the models of trials that will not be served: an hour of them fills a disk."""
        folds = len(self.task.folds)
        complete = [t for t in self.plan.trials if len(t.results) == folds and not t.gone]
        surplus = sorted(complete, key=lambda each: each.score)[: max(0, len(complete) - ROOM)]
        failed = [t for t in self.plan.trials if t.error and t.results and not t.gone]
        for trial in [*surplus, *failed]:
            trial.gone = True
            for result in trial.results.values():
                (self.pool.folder / result.file).unlink(missing_ok=True)

    def run_all(self, steps: Iterator[Step] | list[Step]) -> list[Outcome]:
        """Run jobs and return their outcomes in the order of the steps."""
        waiting = list(steps)
        order: list[int] = []
        found: dict[int, Outcome] = {}
        while waiting or len(found) < len(order):
            while waiting and self.pool.free:
                step = waiting.pop(0)
                order.append(self.pool.submit(step.job, Limits(step.limit, self._memory)))
            for outcome in self.pool.wait(0.5):
                found[outcome.number] = outcome
        return [found[number] for number in order]

    def fit_all(self, steps: list[Step]) -> list[Outcome]:
        """Run the fits on all rows."""
        outcomes = self.run_all(steps)
        for outcome in outcomes:
            if isinstance(outcome.value, LeakageError):
                raise outcome.value
        return outcomes


def finalized(task: Task, recipe: Recipe, learners: Sequence[Learner]) -> FittedModel:
    """Fit what a search has chosen on the rows of another task: all there are.

    Raises
    ------
    NoCandidateError
        If one of its models cannot be fitted.
    """
    with opened(task.threads) as pool:
        run = _Run(task, learners, SearchPolicy(), pool)
        return refit(run.bench, recipe, run.fit_all)
