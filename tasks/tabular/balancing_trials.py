"""What may be done about rare classes, tried with the best candidate of a search."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.tabular import balancing as rare
from tasks.tabular.balancing import BalancingReport, BalancingTrial
from tasks.tabular.errors import LeakageError
from tasks.tabular.jobs import FoldJob
from tasks.tabular.planning import Step
from tasks.tabular.task import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.tabular.planning import Plan
    from tasks.tabular.pool import Outcome
    from tasks.tabular.resampling import Balancing
    from tasks.tabular.task import Task


@dataclass(frozen=True, slots=True)
class BalancingTrials:
    """Fits of one candidate on balanced rows; each becomes a trial of the plan."""

    task: Task
    plan: Plan
    run_all: Callable[[list[Step]], list[Outcome]]

    def choose(self, best: Trial, time_left: Callable[[], float]) -> BalancingReport | None:
        """Try the task's balancings with the best candidate while they fit the time.

        None where not even doing nothing could be judged in it.
        """
        whole = best.fold_seconds * len(self.task.folds) / self.plan.slots
        if whole > time_left():
            return None

        def judge(balancing: Balancing) -> BalancingTrial:
            return self._judged(best, balancing, time_left())

        return rare.choose(self.task.metric.name, self.task.balancings, judge, time_left)

    def _judged(self, best: Trial, balancing: Balancing, left: float) -> BalancingTrial:
        begun = time.monotonic()
        number = 1 + max(each.number for each in self.plan.trials)
        trial = Trial(number, best.learner, best.settled, "balancing", balancing)
        self.plan.trials.append(trial)
        limit = 0.0 if left == np.inf else max(5.0, left)
        steps = [
            Step(
                FoldJob(number, best.learner, best.settled, fold, None, balancing, watch=False),
                trial,
                limit,
            )
            for fold in range(len(self.task.folds))
        ]
        made = 0
        for outcome in self.run_all(steps):
            if isinstance(outcome.value, LeakageError):
                raise outcome.value
            if outcome.ending != "done":
                trial.error = outcome.error
                seconds = time.monotonic() - begun
                return BalancingTrial(balancing, (), seconds, error=outcome.error)
            result = outcome.value
            trial.results[result.fold] = result
            repeated = len(result.origins) - len(np.unique(result.origins))
            made += result.made + repeated
        scores = tuple(trial.results[fold].score for fold in sorted(trial.results))
        return BalancingTrial(balancing, scores, time.monotonic() - begun, made)
