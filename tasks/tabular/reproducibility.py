"""Whether a fit can be repeated: the same job again, in a fresh process, compared byte by byte."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.tabular.jobs import Bench, FoldJob, FoldResult, PreparedKey, PrepareJob
from tasks.tabular.metrics import evaluate
from tasks.tabular.pool import MAX_SLOTS, Limits, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tasks.tabular.features import Family
    from tasks.tabular.jobs import Job
    from tasks.tabular.leaderboard import Grade
    from tasks.tabular.pool import Pool
    from tasks.tabular.task import Candidate, Task
    from tasks.tabular.zoo.entry import Learner

CLOSE = 1e-9
"""Largest difference of scores that is arithmetic in another order, and no other model."""

SAME_METRIC = 1e-4
"""Relative difference of the metric up to which two models serve alike."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """A candidate's first fold, fitted twice: the largest difference, and what that is worth.

    A: the same bytes. B: equal but for rounding. C: another model, as good. D: another model,
    or none at all. No grade: there was no time to find out.
    """

    number: int
    grade: Grade
    difference: float


def repeat(
    task: Task,
    candidates: Sequence[Candidate],
    learners: dict[str, Learner],
    *,
    seconds: float = 60.0,
    exact: bool = False,
) -> list[Repetition]:
    """Fit the first fold of every candidate again, all in one fresh process, while time lasts.

    `exact` says that the search was one of scikit-learn's kinds. A fit that was cut short by
    the clock is repeated without one, so it may well differ: what is graded is whether the
    version can be made again from what is recorded of it.
    """
    with opened(1) as pool:
        end = time.monotonic() + seconds
        threads = max(1, task.threads // min(MAX_SLOTS, max(1, task.threads)))
        pool.give(Bench(task, task.folds, learners, pool.folder, threads))
        return [
            _repeated(task, each, learners[each.learner].family, pool, end, exact=exact)
            for each in candidates
        ]


def _repeated(
    task: Task, candidate: Candidate, family: Family, pool: Pool, end: float, *, exact: bool
) -> Repetition:
    if candidate.scores is None:
        return Repetition(candidate.number, "D", float("inf"))
    balancing = candidate.balancing
    key: PreparedKey | None = None
    if balancing is None or balancing.method == "class_weights":
        key = PreparedKey(family, 0 if exact else None)
        separable = _run(pool, PrepareJob(key), end)
        if separable is False and not exact:
            key = PreparedKey(family, 0)
            _run(pool, PrepareJob(key), end)
    job = FoldJob(
        candidate.number,
        candidate.learner,
        candidate.params,
        0,
        key,
        balancing,
        watch=not exact and candidate.origin != "balancing",
    )
    result = _run(pool, job, end)
    if time.monotonic() >= end:
        return Repetition(candidate.number, "", float("nan"))
    if not isinstance(result, FoldResult):
        return Repetition(candidate.number, "D", float("inf"))
    rows = task.folds[0][1]
    return graded(task, candidate.number, rows, candidate.scores[rows], result.scores)


def graded(
    task: Task,
    number: int,
    rows: NDArray[np.intp],
    recorded: NDArray[np.float64],
    repeated: NDArray[np.float64],
) -> Repetition:
    """Grade two scores of the same rows."""
    if recorded.shape != repeated.shape or np.isnan(recorded).any():
        return Repetition(number, "D", float("inf"))
    difference = float(np.abs(recorded - repeated).max(initial=0.0))
    if recorded.tobytes() == repeated.tobytes():
        return Repetition(number, "A", difference)
    scale = max(1.0, float(np.abs(recorded).max(initial=0.0)))
    if difference <= CLOSE * scale:
        return Repetition(number, "B", difference)
    y = task.codes[rows]
    one, other = (evaluate(task.metric, y, each) for each in (recorded, repeated))
    alike = abs(one - other) <= SAME_METRIC * max(abs(one), abs(other))
    return Repetition(number, "C" if alike else "D", difference)


def _run(pool: Pool, job: Job, end: float) -> object:
    """Run one job; None if it came to nothing by the end."""
    if time.monotonic() >= end:
        return None
    pool.submit(job, Limits(end - time.monotonic()))
    while True:
        for outcome in pool.wait(0.5):
            return outcome.value if outcome.ending == "done" else None
