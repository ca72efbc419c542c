"""Pictures of how good a model is, each beside the numbers it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter

from tasks.tabular import canvas, figures
from tasks.tabular.canvas import (
    GOOD,
    INK,
    MAIN,
    OTHER,
    PALE,
    PALETTE,
    SOFT,
    Data,
    Plot,
    number,
    numbers,
    plain,
    sample,
    words,
)
from tasks.tabular.class_plots import of_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem

__all__ = ["Plot", "evaluation_plots", "history_plot", "importances_plot", "pareto_plot"]

MAX_DOTS = 4_000
MAX_BARS = 25
_GREATEST = 1e100
"""Values beyond are left out: their differences and axes overflow."""


def evaluation_plots(
    problem: Problem, y_codes: NDArray[Any], scores: NDArray[Any], threshold: float = 0.5
) -> dict[str, Plot]:
    """Draw what suits the problem, from predictions of rows that were not fitted on.

    Rows without a finite prediction are left out; of very many rows a fixed sample is drawn.
    The data say of how many rows each plot is.

    Parameters
    ----------
    y_codes : array, shape (n_rows,)
        Class codes, or the target's values.
    scores : array, shape (n_rows, n_classes), or (n_rows,) in regression
        What `predict_scores` returned.
    threshold : float, default 0.5
        Probability of the second of two classes from which the model says so.

    Returns
    -------
    dict of Plot
        "roc", "precision_recall", "calibration" and, up to `MAX_CLASSES`, "confusion"; in
        regression "residuals" and "predicted_vs_actual". Nothing without rows.
    """
    sound = np.isfinite(scores if scores.ndim == 1 else scores.sum(axis=1))
    if problem.kind == "regression":
        sound &= (np.abs(y_codes) < _GREATEST) & (np.abs(scores) < _GREATEST)
    y, given = y_codes[sound], scores[sound]
    if not len(y):
        return {}
    left_out = int(len(sound) - len(y))
    if problem.kind == "regression":
        plots = {"residuals": _residuals(y, given), "predicted_vs_actual": _against(y, given)}
    else:
        plots = of_classes(problem, y.astype(np.intp), given, threshold)
    for each in plots.values():
        each.data.update({"rows": len(y), "rows_left_out": left_out})
    return plots


def importances_plot(
    names: Sequence[str], values: Sequence[float], errors: Sequence[float] | None = None
) -> Plot:
    """Draw the greatest importances as bars, with whiskers of one error to each side."""
    sizes = np.nan_to_num(np.asarray(values, dtype=float), posinf=0, neginf=0)
    whiskers = np.nan_to_num(np.asarray(sizes * 0 if errors is None else errors, dtype=float))
    order = np.argsort(-np.abs(sizes), kind="stable")
    shown = order[:MAX_BARS][::-1]
    rest = len(order) - len(shown)
    title = "Importance of columns" + (f", {rest} lesser ones left out" if rest else "")
    figure, axes = canvas.blank(title, size=(6.4, 1.4 + 0.24 * max(len(shown), 4)))
    canvas.style(axes, grid="x")
    places = np.arange(len(shown))
    axes.barh(
        places,
        sizes[shown],
        xerr=np.abs(whiskers[shown]) if errors is not None else None,
        color=MAIN,
        height=0.66,
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
    )
    labels = [plain(names[each], otherwise=f"column {each + 1}") for each in shown]
    axes.set_yticks(places, labels=labels, color=INK)
    axes.axvline(0, color=PALE, linewidth=1)
    if not len(shown):
        canvas.note(axes, "there are no importances")
    data: Data = {
        "names": [str(names[each]) for each in order],
        "values": numbers(sizes[order]),
        "errors": None if errors is None else numbers(whiskers[order]),
    }
    return Plot(canvas.png(figure), data)


def history_plot(
    points: Sequence[tuple[float, float | None, str]], *, metric: str = "score"
) -> Plot:
    """Draw every candidate of a search, and the best so far, over seconds.

    Parameters
    ----------
    points : sequence of (seconds, score, learner)
        When each candidate was done; a score of None failed, greater is better.
    """
    ordered = sorted(points, key=lambda each: each[0])
    scored = [each[1] is not None and bool(np.isfinite(each[1])) for each in ordered]
    done = [each for each, has in zip(ordered, scored, strict=True) if has]
    failed = [each[0] for each, has in zip(ordered, scored, strict=True) if not has]
    seconds, scores = (np.array([each[i] for each in done], dtype=float) for i in (0, 1))
    best = np.maximum.accumulate(scores) if done else scores
    title = f"Search: best {plain(metric)} {best[-1]:.4g}" if done else "Search"
    figure, axes = canvas.blank(title, "Seconds", plain(metric), size=(7.6, 4.6))
    floor = _floor(scores)
    if done:
        _draw_candidates(axes, done, floor)
        ends = np.append(seconds, ordered[-1][0]), np.append(best, best[-1])
        axes.step(
            ends[0],
            np.maximum(ends[1], floor),
            where="post",
            color=INK,
            linewidth=1.4,
            zorder=1,
            label="best so far",
        )
    else:
        canvas.note(axes, "no candidate has a score")
    if failed:
        axes.plot(
            failed,
            np.zeros(len(failed)),
            "x",
            color=SOFT,
            label="failed",
            transform=axes.get_xaxis_transform(),  # at the bottom, whatever the scores
            clip_on=False,
        )
    if done:
        canvas.legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    below = int((scores < floor).sum())
    if below:
        axes.set_xlabel(f"Seconds ({below} candidates far below are small dots at the bottom)")
    data: Data = {
        "points": [
            {"seconds": float(at), "score": number(score), "learner": str(learner)}
            for at, score, learner in ordered
        ],
        "best_so_far": [[float(a), float(b)] for a, b in zip(seconds, best, strict=True)],
    }
    return Plot(canvas.png(figure), data)


def pareto_plot(
    names: Sequence[str],
    scores: Sequence[float],
    latencies: Sequence[float],
    *,
    metric: str = "score",
    chosen: str | None = None,
) -> Plot:
    """Draw scores against milliseconds per row; a line joins those that none beats at both.

    Parameters
    ----------
    latencies : sequence of float
        Milliseconds that a prediction of a single row takes.
    chosen : str, optional
        The name that is served; it is ringed.
    """
    good, slow = np.asarray(scores, dtype=float), np.asarray(latencies, dtype=float)
    sound = np.flatnonzero(np.isfinite(good) & np.isfinite(slow) & (slow > 0))
    front = _front(good, slow, sound)
    figure, axes = canvas.blank(
        "Score against latency", "Milliseconds for one row", plain(metric), size=(6.8, 4.8)
    )
    others = np.setdiff1d(sound, front)
    axes.scatter(slow[others], good[others], s=26, color=PALE, linewidths=0, label="beaten at both")
    axes.step(slow[front], good[front], where="post", color=GOOD, linewidth=1.4, zorder=1)
    axes.scatter(slow[front], good[front], s=36, color=GOOD, linewidths=0, label="not beaten")
    ringed = [each for each in sound.tolist() if chosen is not None and names[each] == chosen]
    if ringed:
        axes.scatter(
            slow[ringed], good[ringed], s=130, facecolors="none", edgecolors=OTHER, label="served"
        )
    if len(sound):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(_minor(slow[sound]))
        axes.tick_params(which="minor", labelsize=8, colors=SOFT, length=0)
        axes.margins(0.14, 0.12)
        canvas.legend(axes, loc="lower right")
        named = list(dict.fromkeys([*ringed, *front[::-1].tolist()]))
        canvas.write_names(
            figure,
            axes,
            [plain(names[each], 24, otherwise=f"model {each + 1}") for each in named],
            [(slow[each], good[each]) for each in named],
        )
    else:
        canvas.note(axes, "no candidate has a score and a latency")
    data: Data = {
        "points": [
            {
                "name": str(names[each]),
                "score": number(good[each]),
                "milliseconds": number(slow[each]),
                "front": bool(each in front),
            }
            for each in range(len(names))
        ],
        "chosen": chosen,
    }
    return Plot(canvas.png(figure), data)


def _residuals(y: NDArray[Any], values: NDArray[Any]) -> Plot:
    errors = y - values
    half = float(np.median(np.abs(errors)))
    figure, axes = canvas.blank(
        f"Residuals: mean {words(errors.mean())}, half within ±{words(half)}",
        "Predicted",
        "Actual minus predicted",
        size=(6.8, 4.6),
    )
    dots = _dots(errors)
    _scatter(axes, values[dots], errors[dots])
    axes.axhline(0, color=INK, linewidth=1)
    centres, medians = _medians(values, errors)
    axes.plot(centres, medians, "o-", color=OTHER, linewidth=1.6, markersize=4, label="median")
    if len(centres) > 1:
        canvas.legend(axes, loc="best")
    side = axes.inset_axes((1.01, 0, 0.16, 1), sharey=axes)
    canvas.style(side, grid="none")
    side.hist(errors, bins=_bins(errors).tolist(), orientation="horizontal", color=PALE)
    side.tick_params(labelleft=False, labelbottom=False)
    counts, edges = np.histogram(errors, bins=_bins(errors))
    data: Data = {
        "points": [
            [a, b] for a, b in zip(numbers(values[dots]), numbers(errors[dots]), strict=True)
        ],
        "medians": [[a, b] for a, b in zip(numbers(centres), numbers(medians), strict=True)],
        "histogram": {"edges": numbers(edges), "counts": counts.tolist()},
        "mean": number(errors.mean()),
        "rows_drawn": len(dots),
    }
    return Plot(canvas.png(figure), data)


def _against(y: NDArray[Any], values: NDArray[Any]) -> Plot:
    score = figures.r2(y, values)
    figure, axes = canvas.blank(
        f"Predicted against actual: R² {score:.3f}", "Actual", "Predicted", size=(5.6, 5.4)
    )
    dots = _dots(y - values)
    _scatter(axes, y[dots], values[dots])
    both = np.concatenate([y[dots], values[dots]])
    low, high = float(both.min()), float(both.max())
    margin = 0.03 * (high - low) or 0.5 * abs(high) or 0.5
    span = (low - margin, high + margin)
    axes.plot(span, span, color=INK, linewidth=1)
    axes.set(xlim=span, ylim=span, aspect="equal")
    data: Data = {
        "points": [[a, b] for a, b in zip(numbers(y[dots]), numbers(values[dots]), strict=True)],
        "r2": number(score),
        "rows_drawn": len(dots),
    }
    return Plot(canvas.png(figure), data)


def _scatter(axes: Axes, x: NDArray[Any], y: NDArray[Any]) -> None:
    """Draw dots so that where many lie over each other it is darker."""
    opacity = float(np.clip(20 / np.sqrt(len(x)), 0.25, 0.9))
    axes.scatter(x, y, s=12, color=MAIN, alpha=opacity, linewidths=0)


def _dots(errors: NDArray[Any]) -> NDArray[np.intp]:
    """Return the rows to draw: a sample, and the greatest errors, which are looked for."""
    drawn = sample(len(errors), MAX_DOTS)
    if len(drawn) == len(errors):
        return drawn
    return np.union1d(drawn, np.argpartition(-np.abs(errors), 20)[:20])


def _medians(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the medians of both in up to 15 groups of equally many rows, by `x`."""
    rows = sample(len(x), 50 * MAX_DOTS)
    order = rows[np.argsort(x[rows], kind="stable")]
    groups = np.array_split(order, max(1, min(15, len(order) // 20)))
    if x[order[0]] == x[order[-1]]:
        groups = [order]
    return (
        np.array([np.median(x[each]) for each in groups]),
        np.array([np.median(y[each]) for each in groups]),
    )


def _bins(values: NDArray[Any]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    margin = 0.0 if high > low else 0.5 * abs(high) or 0.5
    return np.linspace(low - margin, high + margin, 41)


def _draw_candidates(axes: Axes, done: Sequence[tuple[float, Any, str]], floor: float) -> None:
    """Draw a dot per candidate; learners have colours, the best first, while there are any."""
    best: dict[str, float] = {}
    for _, score, learner in done:
        best[learner] = max(score, best.get(learner, -np.inf))
    ranked = sorted(best, key=best.__getitem__, reverse=True)
    colors = dict(zip(ranked, PALETTE[:-1], strict=False))
    groups = [*((each, [each]) for each in colors), ("others", ranked[len(colors) :])]
    for label, learners in groups:
        own = [(at, score) for at, score, learner in done if learner in learners]
        if own:
            x, y = np.array(own, dtype=float).T
            axes.scatter(
                x,
                np.maximum(y, floor),
                s=np.where(y < floor, 10, 22),
                color=PALE if len(learners) > 1 else colors.get(label, PALE),
                linewidths=0,
                zorder=2,
                label=" " + plain(label),  # one that starts with _ would be left out
            )


def _floor(scores: NDArray[Any]) -> float:
    """Return the score below which candidates are so bad that they would hide the others."""
    if not len(scores):
        return -np.inf
    best, middle = float(scores.max()), float(np.median(scores))
    return best - 4 * (best - middle) if middle < best else -np.inf


def _front(
    scores: NDArray[Any], latencies: NDArray[Any], sound: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return those that none beats in score and latency, fastest first."""
    order = sound[np.lexsort((-scores[sound], latencies[sound]))]
    best = np.maximum.accumulate(scores[order]) if len(order) else scores[order]
    return np.asarray(order[np.append(True, best[1:] > best[:-1])[: len(order)]], dtype=np.intp)


def _minor(values: NDArray[Any]) -> FuncFormatter | NullFormatter:
    """Label ticks between powers of ten only where the axis shows few of those."""
    if values.max() > 10 * values.min():
        return NullFormatter()
    return FuncFormatter(lambda value, _: f"{value:.2g}")
