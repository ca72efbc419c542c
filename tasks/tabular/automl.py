"""A table in, a model out: the whole of AutoML in one call, for scripts and notebooks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.tabular.pool import cores, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem, Said
    from tasks.tabular.search import SearchPolicy, SearchResult


@dataclass(frozen=True, slots=True)
class Learned:
    """A model of a table and how it was found."""

    result: SearchResult
    problem: Problem

    def predict_scores(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Score raw rows.

        Returns
        -------
        array of float, shape (n_rows, n_classes), or (n_rows,) in regression
            Probabilities in the order of `problem.classes`, or values.
        """
        from tasks.tabular.learners import predict_scores  # noqa: PLC0415 - see `learn`

        return predict_scores(self.result.model, rows, self.problem)

    def predict(self, rows: pd.DataFrame) -> NDArray[Any]:
        """Return labels or values, shape (n_rows,)."""
        found: NDArray[Any] = self.result.model.predict(rows)
        return found


def learn(
    frame: pd.DataFrame,
    target: str,
    *,
    kind: Said = "auto",
    metric: str | None = None,
    budget_seconds: float = 60.0,
    learners: Sequence[str] = (),
    policy: SearchPolicy | None = None,
    seed: int = 0,
    threads: int = 0,
) -> Learned:
    """Search for the best model of `target` on all rows that have one.

    Parameters
    ----------
    frame : frame
        Raw columns, the target among them.
    kind : {"auto", "classification", "regression"}
        What the target holds, where its values do not show it; then classes may be as rare as
        they are.
    metric : str, optional
        scikit-learn's name; the problem's usual.
    budget_seconds : float
        Wall seconds for everything.
    threads : int, default 0
        Cores to use; 0 for all this process may.

    Raises
    ------
    TabularError
        If the target cannot be learned or no learner could be fitted.
    """
    started = time.monotonic()
    # the fitting processes import the learners' libraries while this one does
    with opened(threads or cores()) as pool:
        from tasks.tabular import metrics  # noqa: PLC0415 - after the pool has begun to start
        from tasks.tabular.features import usable  # noqa: PLC0415
        from tasks.tabular.learners import select  # noqa: PLC0415
        from tasks.tabular.problem import MIN_CLASS_ROWS, identify  # noqa: PLC0415
        from tasks.tabular.schema import conform, infer  # noqa: PLC0415
        from tasks.tabular.search import search  # noqa: PLC0415
        from tasks.tabular.task import Task  # noqa: PLC0415

        least = MIN_CLASS_ROWS if kind == "auto" else 1
        problem = identify(frame, target, kind, class_rows=least)
        frame = frame.dropna(subset=[target]).reset_index(drop=True)
        features = usable(infer(frame), target)
        task = Task(
            conform(frame, features),
            frame[target].infer_objects(),
            problem,
            features,
            metrics.choose(problem, metric),
            seed,
            threads or cores(),
        )
        found = search(
            task,
            select(learners, problem.kind) if learners else (),
            budget_seconds=budget_seconds,
            policy=policy,
            started=started,
            pool=pool,
        )
    return Learned(found, problem)
