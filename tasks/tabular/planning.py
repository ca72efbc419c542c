"""What a search does next: which candidate, on which fold, for how long.

In a given time a search first screens the portfolio on one fold, then gives the candidates that
would make the best ensemble the other folds, round by round, so that at any time there is a
whole ensemble to stop with; what time is left goes to the rest of the portfolio and to what
Optuna proposes. Bound by a number of trials instead, it gives every trial all folds, one trial
after another, and looks at no clock: two runs then do the same.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.tabular.jobs import FoldJob, Job, PreparedKey, PrepareJob
from tasks.tabular.selection import blend
from tasks.tabular.task import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tasks.tabular.proposals import Proposals
    from tasks.tabular.resampling import Balancing
    from tasks.tabular.task import Task
    from tasks.tabular.zoo.entry import Learner, Params

SCREEN_SHARE = 0.38
"""Of the time, after which no more of the portfolio is screened until bags are complete."""

CHEAP_SHARE = 0.06
"""Of all slots' time, what all folds of a candidate may take to be run at once."""

FIT_SHARE = 0.075
"""Of all slots' time that is left, what a fit on one fold may take."""

LONGER = 2.0
"""Times the time of its first fold that a weighty candidate gets which the clock had cut short."""

WEIGHTY = 0.25

LEAST_SECONDS = 0.8

BAGGED = 10
"""Candidates that get more folds, at most."""

LEAST_WEIGHT = 0.05
"""In the mix of the folds so far; a lesser candidate gets more folds only if they are cheap."""

HOPELESS = 10
"""Failures, with no success among them, after which nothing more is proposed."""

KEPT = 8
"""A proposal goes on to other folds while it is among so many best."""

_LOGGER = logging.getLogger(__name__)

_READY, _BUSY = "ready", "busy"


@dataclass(frozen=True, slots=True)
class Step:
    """A job to start: its trial, None for a preparation, and how long it may take.

    `seconds` is when a learner that can ends by itself, `limit` when it is killed; 0 is never.
    """

    job: Job
    trial: Trial | None
    limit: float


@dataclass(slots=True)
class Plan:
    """The state of a search: what was tried, what is running, what comes next.

    `entries` are tried first, in their order; `left` says how many seconds of work there are,
    None for a search that is bound by `trials`. `exact` prepares features per fold and watches
    no rows, as scikit-learn's own searches do.
    """

    task: Task
    learners: Mapping[str, Learner]
    entries: Iterator[tuple[str, Params]]
    proposals: Callable[[list[Trial]], Proposals | None]
    slots: int
    left: Callable[[], float] | None
    whole_time: float
    trials_wanted: int = 0
    exact: bool = False
    balancing: Balancing | None = None
    trials: list[Trial] = field(default_factory=list)
    chosen: list[Trial] = field(default_factory=list)
    separable: dict[PreparedKey, bool] = field(default_factory=dict)
    blend_seconds: float = 0.0
    """What weighing the candidates took, to foretell how long it takes in the end."""
    _status: dict[PreparedKey, str] = field(default_factory=dict)
    _study: Proposals | None = None
    _opened: bool = False
    _taught: bool = False
    _exhausted: bool = False
    _round: int = 0
    _given: dict[int, float] = field(default_factory=dict)
    _hurried: set[int] = field(default_factory=set)
    _told: set[int] = field(default_factory=set)

    # what is next

    def next(self) -> Step | None:
        """Return what to start now; None if nothing can be until something ends."""
        if self.left is None:
            return self._next_counted()
        if self._round == 0 and self._screening():
            step = self._advance() or self._screen()
            if step is not None or self._screened():
                return step
        step = self._bag()
        if step is not None or self._round < len(self.task.folds):
            return step
        return self._explore()

    def _next_counted(self) -> Step | None:
        waiting = False
        for trial in self.trials:
            for fold in range(len(self.task.folds)):
                if trial.error:
                    break
                if fold not in trial.results and fold not in trial.running:
                    step = self._step(trial, fold)
                    if step is not None:
                        return step
                    waiting = not trial.error
            if waiting:
                return None
        if any(trial.running for trial in self.trials) or len(self.trials) >= self.trials_wanted:
            return None
        return self._fresh()

    def _screening(self) -> bool:
        assert self.left is not None  # noqa: S101 - only asked where there is a clock
        used = self.whole_time - self.left()
        return used < SCREEN_SHARE * self.whole_time or not any(t.results for t in self.trials)

    def _screened(self) -> list[Trial]:
        return [each for each in self.trials if not each.error and 0 not in each.results]

    def _advance(self) -> Step | None:
        """Start what waited for its features, and the other folds of what is cheap."""
        for trial in self.trials:
            if trial.error or trial.dropped:
                continue
            folds = range(len(self.task.folds)) if self._cheap(trial) else range(1)
            for fold in folds:
                if fold not in trial.results and fold not in trial.running:
                    step = self._step(trial, fold)
                    if step is not None:
                        return step
        return None

    def _cheap(self, trial: Trial) -> bool:
        """Whether all folds of a trial cost so little that it is not worth choosing."""
        whole = trial.fold_seconds * len(self.task.folds)
        return 0 in trial.results and whole <= CHEAP_SHARE * self.whole_time * self.slots

    def _screen(self) -> Step | None:
        while (trial := self._entry()) is not None:
            step = self._step(trial, 0)
            if step is not None:
                return step
        return None

    def _bag(self) -> Step | None:
        """Give the chosen candidates their next fold, all of them before the one after it."""
        folds = len(self.task.folds)
        while self._round < folds:
            if self._round > 0:
                open_ = [each for each in self.chosen if self._round not in each.results]
                open_ = [each for each in open_ if not each.error and not each.dropped]
                idle = [each for each in open_ if self._round not in each.running]
                for trial in idle:
                    if not self._affordable(trial):
                        trial.dropped = True
                        continue
                    step = self._step(trial, self._round)
                    if step is not None:
                        return step
                if any(each for each in open_ if not each.dropped):
                    return None
            elif any(each.running for each in self.trials):
                return None
            self._round += 1
            self._choose()
        return None

    def _explore(self) -> Step | None:
        """Try the rest of the portfolio, then what is proposed; go on with what is good."""
        for trial in self.trials:
            if trial.error or trial.dropped or trial in self.chosen:
                continue
            if 0 not in trial.results:
                if 0 not in trial.running:
                    step = self._step(trial, 0)
                    if step is not None:
                        return step
                continue
            if len(trial.results) < len(self.task.folds) and not trial.running:
                if not self._promising(trial) or not self._affordable(trial):
                    self._drop(trial)
                    continue
                fold = min(set(range(len(self.task.folds))) - set(trial.results))
                step = self._step(trial, fold)
                if step is not None:
                    return step
        return self._fresh()

    def _fresh(self) -> Step | None:
        """Begin a new trial; one whose features cannot be made is passed over."""
        while (trial := self._entry() or self._proposed()) is not None:
            step = self._step(trial, 0)
            if step is not None or not trial.error:
                return step
            if self.left is None and len(self.trials) >= self.trials_wanted:
                return None
        return None

    # what happened

    def started(self, step: Step) -> None:
        """Take note of a job that was started."""
        if isinstance(step.job, PrepareJob):
            self._status[step.job.key] = _BUSY
        elif isinstance(step.job, FoldJob) and step.trial is not None:
            step.trial.running.add(step.job.fold)

    def prepared(self, key: PreparedKey, *, separable: bool) -> None:
        """Take note of features that are ready."""
        self._status[key] = _READY
        self.separable[key] = separable

    def unprepared(self, key: PreparedKey, error: str) -> None:
        """Take note of features that cannot be made."""
        self._status[key] = error

    def ended(self, trial: Trial) -> None:
        """Tell the study of a trial that is complete or has failed."""
        if len(trial.results) == len(self.task.folds) or trial.error:
            self._tell(trial)

    def close(self) -> None:
        """Leave the study in order."""
        self._teach()
        if self._study is not None:
            with self._guarded():
                self._study.forget()

    # choices

    def _choose(self) -> None:
        """Choose who gets the next fold: those that would make the best ensemble by now."""
        assert self.left is not None  # noqa: S101 - only asked where there is a clock
        complete = [
            each
            for each in self.trials
            if not each.error and all(fold in each.results for fold in range(self._round))
        ]
        if not complete:
            return
        begun = time.monotonic()
        weights = blend(self.task, complete, range(self._round))
        self.blend_seconds = max(self.blend_seconds, time.monotonic() - begun)
        ranked = sorted(complete, key=lambda each: (-weights.get(each.number, 0.0), -each.score))
        folds = len(self.task.folds) - self._round
        capacity = self.left() * self.slots
        chosen: list[Trial] = []
        cost = 0.0
        if self._round == 1:
            self._hurried = {
                each.number
                for each in complete
                if weights.get(each.number, 0.0) >= WEIGHTY and self._was_cut(each)
            }
        for trial in ranked[:BAGGED]:
            weighty = weights.get(trial.number, 0.0) >= LEAST_WEIGHT
            longer = LONGER if trial.number in self._hurried and self._round == 1 else 1.0
            cost += longer * trial.fold_seconds
            # who has no weight by now may have one on more rows, if it is cheap to find out
            rounds = min(folds, 2 if self._round == 1 else 1) if weighty else folds
            if chosen and cost * rounds > (0.95 if weighty else 0.6) * capacity:
                cost -= longer * trial.fold_seconds
                continue
            chosen.append(trial)
        self.chosen = chosen

    def _was_cut(self, trial: Trial) -> bool:
        """Whether the clock ended the trial's first fit before it was done."""
        given = self._given.get(trial.number, float("inf"))
        return self.learners[trial.learner].stops and trial.results[0].fit_seconds > 0.8 * given

    def _affordable(self, trial: Trial) -> bool:
        assert self.left is not None  # noqa: S101 - only asked where there is a clock
        left = self.left()
        stops = self.learners[trial.learner].stops
        return trial.fold_seconds * (0.75 if stops else 1.1) <= left

    def _promising(self, trial: Trial) -> bool:
        """Whether a trial is among the best on the folds it was run on."""
        folds = set(trial.results)
        others = sorted(
            (
                sum(each.results[fold].score for fold in folds) / len(folds)
                for each in self.trials
                if each is not trial and not each.error and folds <= set(each.results)
            ),
            reverse=True,
        )
        return len(others) < KEPT or trial.score >= others[KEPT - 1]

    def _drop(self, trial: Trial) -> None:
        trial.dropped = True
        self._tell(trial)

    # steps

    def _step(self, trial: Trial, fold: int) -> Step | None:
        """Return the job that brings a trial's fold forward; None if it waits for features."""
        learner = self.learners[trial.learner]
        key: PreparedKey | None = None
        if trial.balancing is None or trial.balancing.method == "class_weights":
            key = PreparedKey(learner.family, fold if self.exact else None)
            while True:
                status = self._status.get(key)
                if status is None:
                    return Step(PrepareJob(key), None, self._limit(0.0))
                if status == _BUSY:
                    return None
                if status != _READY:
                    trial.error = status
                    return None
                if key.fold is not None or self.separable[key]:
                    break
                key = PreparedKey(learner.family, fold)
        seconds = self._seconds(trial)
        if fold == 0 and seconds is not None:
            self._given[trial.number] = seconds
        job = FoldJob(
            trial.number,
            trial.learner,
            trial.params,
            fold,
            key,
            trial.balancing,
            watch=not self.exact,
            seconds=seconds,
        )
        return Step(job, trial, self._limit(seconds or 0.0))

    def _seconds(self, trial: Trial) -> float | None:
        """Return what a fit on a fold may take."""
        if self.left is None:
            return None
        left = self.left()
        share = FIT_SHARE * left * self.slots
        if trial.results:
            factor = LONGER if trial.number in self._hurried else 1.25
            share = max(factor * trial.fold_seconds, LEAST_SECONDS)
        return max(LEAST_SECONDS, min(share, 0.93 * left))

    def _limit(self, seconds: float) -> float:
        """Return when a job is killed that does not end by itself."""
        if self.left is None:
            return max(60.0, self.whole_time)  # a fit that takes longer hangs
        return 2.0 * seconds + 3.0 if seconds else max(5.0, self.left())

    def _entry(self) -> Trial | None:
        if self._exhausted:
            return None
        found = next(self.entries, None)
        if found is None:
            self._exhausted = True
            return None
        return self._new(*found, origin="portfolio")

    def _proposed(self) -> Trial | None:
        if len(self.trials) >= HOPELESS and not any(each.results for each in self.trials):
            return None
        self.open_study()
        if not self._taught:  # what was only screened is not looked at again
            self._taught = True
            self._teach()
        if not self._study:
            return None
        asked: tuple[str, Params] | None = None
        with self._guarded():
            asked = self._study.ask(len(self.trials))
        return None if asked is None else self._new(*asked, origin="optuna")

    def open_study(self) -> None:
        """Have a study to tell of trials as they end; otherwise there is one once it is asked."""
        if not self._opened:
            self._opened = True
            with self._guarded():
                self._study = self.proposals(self.trials)

    def _teach(self) -> None:
        """Tell the study of what it has not asked for, as far as it got."""
        for trial in self.trials:
            if trial.origin != "optuna" and trial.results and not trial.running:
                self._tell(trial)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Go on without a study whose database fails: what is found is not to be lost with it."""
        try:
            yield
        except Exception:
            _LOGGER.exception("the study is given up; the search goes on without proposals")
            self._study = None

    def _tell(self, trial: Trial) -> None:
        """Tell the study of a trial, once."""
        if self._study is not None and trial.number not in self._told:
            self._told.add(trial.number)
            with self._guarded():
                self._study.tell(trial)

    def _new(self, learner: str, params: Params, origin: str) -> Trial:
        trial = Trial(len(self.trials), learner, params, origin, self.balancing)
        self.trials.append(trial)
        return trial
