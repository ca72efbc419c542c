"""Our own: what the training flow calls, given what the start of the process left."""

from __future__ import annotations

from tasks.tabular.automl import learn
from tests.benchmarks.automl.systems.common import Fitted, Task, run

RESERVE_SECONDS = 0.5
"""Kept back, so that the last step's end is inside the budget."""


def fit(task: Task) -> Fitted:
    """Learn within the budget."""
    found = learn(
        task.train,
        task.target,
        kind="regression" if task.regression else "classification",
        metric=task.metric,
        budget_seconds=task.remaining() - RESERVE_SECONDS,
        seed=task.seed,
        threads=task.cores,
    )
    classes = None if task.regression else list(found.problem.classes)
    return Fitted(found.predict_scores, classes=classes)


if __name__ == "__main__":
    run(fit)
