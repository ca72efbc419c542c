"""What a training is looked at by: plots of its model and of the search that found it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.learners import predict_scores
from tasks.tabular.metrics import evaluate
from tasks.tabular.plots import evaluation_plots, history_plot, importances_plot, pareto_plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from tasks.tabular.canvas import Plot
    from tasks.tabular.leaderboard import Leaderboard
    from tasks.tabular.metrics import Metric
    from tasks.tabular.problem import Problem

IMPORTANCE_ROWS = 400
IMPORTANCE_REPEATS = 3
IMPORTANCE_SECONDS = 15.0


def of_model(
    model: Any,
    rows: pd.DataFrame,
    y: NDArray[Any],
    scores: NDArray[np.float64],
    *,
    problem: Problem,
    metric: Metric,
    threshold: float,
    seed: int,
    seconds: float = IMPORTANCE_SECONDS,
) -> dict[str, Plot]:
    """Draw how a model does on rows it was not fitted on, and what it goes by."""
    plots = evaluation_plots(problem, y, scores, threshold)
    names, values, errors = importances(model, rows, y, problem, metric, seed=seed, seconds=seconds)
    if names:
        plots["importances"] = importances_plot(names, values, errors)
    return plots


def of_search(
    board: Leaderboard, points: Sequence[tuple[float, float | None, str]]
) -> dict[str, Plot]:
    """Draw the way of a search: its candidates over time, and their quality over their cost."""
    good = [line for line in board.lines if line.score is not None and line.row_seconds > 0]
    return {
        "history": history_plot(points, metric=board.metric),
        "pareto": pareto_plot(
            [line.learner for line in good],
            [float(line.score or 0.0) for line in good],
            [1000 * line.row_seconds for line in good],
            metric=board.metric,
        ),
    }


def importances(
    model: Any,
    rows: pd.DataFrame,
    y: NDArray[Any],
    problem: Problem,
    metric: Metric,
    *,
    seed: int,
    seconds: float = IMPORTANCE_SECONDS,
) -> tuple[list[str], list[float], list[float]]:
    """Measure what shuffling a column costs of the metric, column by column.

    A sample of the rows is looked at; the columns that do not fit the time are left out.

    Returns
    -------
    names, values, errors : lists
        The mean loss and its standard deviation over the shuffles.

    References
    ----------
    Breiman (2001), "Random forests", Machine Learning 45.
    """
    rng = np.random.default_rng(seed)
    sample = rng.permutation(len(rows))[:IMPORTANCE_ROWS]
    if problem.kind != "regression":  # a row of every class there is
        sample = np.union1d(sample, np.unique(y, return_index=True)[1])
    given, truth = rows.iloc[np.sort(sample)], y[np.sort(sample)]
    before = evaluate(metric, truth, predict_scores(model, given, problem))
    end = time.monotonic() + seconds
    losses: dict[str, list[float]] = {}
    for _ in range(IMPORTANCE_REPEATS):  # every column once before any twice
        for name in given.columns:
            if time.monotonic() > end:
                break
            column = given[name].iloc[rng.permutation(len(given))].set_axis(given.index)
            scores = predict_scores(model, given.assign(**{name: column}), problem)
            losses.setdefault(name, []).append(before - evaluate(metric, truth, scores))
    means = [float(np.mean(each)) for each in losses.values()]
    return list(map(str, losses)), means, [float(np.std(each)) for each in losses.values()]
