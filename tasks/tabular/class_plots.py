"""Pictures of how good a classifier is: curves, calibration and confusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular import canvas, figures
from tasks.tabular.calibration import confidence, expected_calibration_error
from tasks.tabular.canvas import (
    INK,
    MAIN,
    PALE,
    PALETTE,
    SOFT,
    Data,
    Plot,
    number,
    numbers,
    plain,
    sample,
)
from tasks.tabular.metrics import decide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem

    _Ranked = dict[int, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
    _At = tuple[float, Any] | None

MAX_CLASSES = 50
"""Classes of a confusion matrix that can still be read."""

_MAX_CELLS = 2_000_000
_CURVE_POINTS = 200
_NAMED_CURVES = 6
_COUNTED = 15
"""Classes up to which the cells of a confusion matrix have room for numbers."""


def of_classes(
    problem: Problem, y: NDArray[np.intp], scores: NDArray[Any], threshold: float
) -> dict[str, Plot]:
    """Draw what suits probabilities of classes, see `evaluation_plots`."""
    classes = scores.shape[1]
    binary = classes == 2  # noqa: PLR2004 - bi-nary
    counts = figures.confusion(y, decide(scores, threshold), classes)
    drawn_rows = sample(len(y), _MAX_CELLS // classes)
    drawn_y, drawn = y[drawn_rows], scores[drawn_rows]
    ranked = {
        code: figures.rank(drawn_y == code, drawn[:, code])
        for code in ([1] if binary else range(classes))
    }
    at = (threshold, counts) if binary else None
    plots = {
        "roc": _roc(problem, ranked, at),
        "precision_recall": _precision_recall(problem, ranked, at),
        "calibration": _calibration(problem, drawn_y, drawn),
    }
    for each in plots.values():
        each.data["rows_drawn"] = len(drawn_y)
    if classes <= MAX_CLASSES:
        plots["confusion"] = _confusion(problem, counts)
    return plots


@dataclass(frozen=True, slots=True)
class _Curve:
    """A class, what it is judged by, and its line; a class without rows has none."""

    code: int
    figure: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def _roc(problem: Problem, ranked: _Ranked, at: _At) -> Plot:
    curves = []
    for code, (_, hits, alarms) in ranked.items():
        if hits[-1] and alarms[-1]:
            x, y = np.append(0, alarms) / alarms[-1], np.append(0, hits) / hits[-1]
            curves.append(_Curve(code, float(np.trapezoid(y, x)), *_thinned(x, y)))
    figure, axes = canvas.blank(
        _heading(problem, "ROC", "area", ranked, curves),
        "Share of other rows found by mistake",
        "Share of the class's rows found",
        size=(5.6, 5.4),
    )
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=(0, (4, 3)))
    _draw(axes, problem, curves, "area", "default")
    if at and curves:
        (no_no, no_yes), (yes_no, yes_yes) = at[1]
        _mark(axes, no_yes / (no_no + no_yes), yes_yes / (yes_no + yes_yes), at[0], above=False)
    canvas.unit_square(axes)
    return Plot(canvas.png(figure), _curve_data(problem, curves, "area", at))


def _precision_recall(problem: Problem, ranked: _Ranked, at: _At) -> Plot:
    curves, shares = [], []
    for code, (_, hits, alarms) in ranked.items():
        if hits[-1]:
            recall, precision = hits / hits[-1], hits / (hits + alarms)
            average = float(np.sum(np.diff(recall, prepend=0) * precision))
            line = np.append(0, recall), np.append(precision[0], precision)
            curves.append(_Curve(code, average, *_thinned(*line)))
            shares.append(hits[-1] / (hits[-1] + alarms[-1]))
    figure, axes = canvas.blank(
        _heading(problem, "Precision and recall", "average", ranked, curves),
        "Recall: share of the class's rows found",
        "Precision: share of what is found that is right",
        size=(5.6, 5.4),
    )
    if len(ranked) == 1 and shares:
        axes.axhline(shares[0], color=PALE, linewidth=1, linestyle=(0, (4, 3)))
    _draw(axes, problem, curves, "average", "steps-pre")
    if at and curves and at[1][:, 1].sum():
        _mark(
            axes, at[1][1, 1] / at[1][1].sum(), at[1][1, 1] / at[1][:, 1].sum(), at[0], above=True
        )
    canvas.unit_square(axes)
    return Plot(canvas.png(figure), _curve_data(problem, curves, "average_precision", at))


def _heading(
    problem: Problem, what: str, figure: str, ranked: _Ranked, curves: list[_Curve]
) -> str:
    if len(ranked) > 1:
        mean = np.mean([each.figure for each in curves]) if curves else np.nan
        return f"{what}: mean {figure} of the classes {mean:.3f}"
    shown = f": {figure} {curves[0].figure:.3f}" if curves else ""
    return f"{what} of {_name(problem, 1, 22)}{shown}"


def _draw(axes: Axes, problem: Problem, curves: list[_Curve], figure: str, how: str) -> None:
    """Draw curves; of many classes only the worst are told apart."""
    if not curves:
        canvas.note(axes, "not defined: the rows are of one class")
    worst = sorted(curves, key=lambda each: each.figure)[:_NAMED_CURVES]
    for each in curves:
        if each not in worst:
            axes.plot(each.x, each.y, color=PALE, linewidth=0.8, drawstyle=how)
    for color, each in zip(PALETTE, worst, strict=False):
        axes.plot(
            each.x,
            each.y,
            color=color,
            linewidth=1.8,
            drawstyle=how,
            label=f"{each.figure:.3f}  {_name(problem, each.code, 22)}",
        )
    if len(curves) > 1:
        title = figure.capitalize() + (", worst classes" if len(curves) > len(worst) else "")
        canvas.legend(axes, loc="lower right" if how == "default" else "lower left", title=title)


def _mark(axes: Axes, x: float, y: float, threshold: float, *, above: bool) -> None:
    """Mark where the threshold lies on a curve, the words on the side that is empty."""
    end = x > 0.7  # noqa: PLR2004 - else the words would leave the square
    axes.plot([x], [y], "o", color=INK, markersize=7, zorder=4)
    axes.annotate(
        f"threshold {threshold:.3g}",
        (x, y),
        xytext=(-8 if end else 10, 9 if (above and y < 0.93) or y < 0.06 else -17),  # noqa: PLR2004
        textcoords="offset points",
        ha="right" if end else "left",
        fontsize=9,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
    )


def _curve_data(problem: Problem, curves: list[_Curve], figure: str, at: _At) -> Data:
    return {
        "threshold": at[0] if at else None,
        "classes": [
            {
                "class": _called(problem, each.code),
                figure: number(each.figure),
                "x": numbers(each.x),
                "y": numbers(each.y),
            }
            for each in curves
        ],
    }


def _thinned(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points of a line at equal distances along it, its ends among them."""
    length = np.append(0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], _CURVE_POINTS)))
    kept = np.union1d(kept.clip(max=len(x) - 1), [0, len(x) - 1])
    return x[kept], y[kept]


def _calibration(problem: Problem, y: NDArray[np.intp], scores: NDArray[Any]) -> Plot:
    said, right = confidence(y, scores)
    edges = np.unique(np.quantile(said, np.linspace(0, 1, 11)))
    places = np.searchsorted(edges[1:-1], said, side="right")
    rows = np.bincount(places)
    kept = rows > 0
    mean_said = np.bincount(places, weights=said)[kept] / rows[kept]
    share = np.bincount(places, weights=right)[kept] / rows[kept]
    low, high = _interval(share, rows[kept])
    error = expected_calibration_error(y, scores)
    of = f"of {_name(problem, 1, 18)}" if scores.shape[1] == 2 else "of the likeliest class"  # noqa: PLR2004
    figure, axes = canvas.blank(
        f"Calibration {of}: error {error:.3f}",
        "Probability said; bars: how many rows",
        "Share of rows that are so, with 95 % intervals",
        size=(5.6, 5.4),
    )
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=(0, (4, 3)))
    bars, where = np.histogram(said, bins=40, range=(0, 1))
    axes.bar(
        where[:-1], 0.12 * bars / bars.max(), width=1 / 40, align="edge", color=PALE, linewidth=0
    )
    axes.vlines(mean_said, low, high, color=MAIN, linewidth=1.2, alpha=0.6)
    axes.plot(mean_said, share, "o-", color=MAIN, linewidth=1.6, markersize=5)
    canvas.unit_square(axes)
    data: Data = {
        "expected_calibration_error": number(error),
        "bins": [
            {"said": a, "share": b, "low": c, "high": d, "rows": int(e)}
            for a, b, c, d, e in zip(
                *map(numbers, (mean_said, share, low, high)), rows[kept], strict=True
            )
        ],
    }
    return Plot(canvas.png(figure), data)


def _interval(share: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return Wilson's 95 % interval of a share."""
    z = 1.96
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return middle - half, middle + half


def _confusion(problem: Problem, counts: NDArray[Any]) -> Plot:
    classes = len(counts)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    side = min(4.8 + 0.28 * max(0, classes - 3), 12.0)
    accuracy = float(figures.accuracy(counts))
    figure, axes = canvas.blank(
        f"Confusion: {accuracy:.1%} right",
        "Predicted class",
        "Actual class",
        size=(side + 0.6, side),
    )
    axes.grid(visible=False)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    names = [_name(problem, code, 16) for code in range(classes)]
    small = 8.5 if classes <= _COUNTED else 6.5
    axes.set_xticks(range(classes), labels=names, fontsize=small, color=INK)
    axes.set_yticks(range(classes), labels=names, fontsize=small, color=INK)
    if classes > 4 or max(map(len, names)) > 10:  # noqa: PLR2004 - what fits side by side
        axes.tick_params(axis="x", rotation=90 if classes > _COUNTED else 40)
        for label in [] if classes > _COUNTED else axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    if classes <= _COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            dark = shares[row, column] > 0.55  # noqa: PLR2004 - where white is easier to read
            text = f"{count:,}" + (f"\n{shares[row, column]:.0%}" if classes <= 6 else "")  # noqa: PLR2004
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=9 if classes <= 8 else 7,  # noqa: PLR2004
                color="white" if dark else INK if count else PALE,
            )
    else:
        bar = figure.colorbar(picture, ax=axes, shrink=0.5, pad=0.02)
        bar.set_label("Share of the actual class", fontsize=9.5, color=SOFT)
        bar.ax.tick_params(labelsize=8.5, colors=SOFT, length=0)
        bar.outline.set_visible(False)
    data: Data = {
        "classes": [_called(problem, code) for code in range(classes)],
        "counts": counts.tolist(),
        "accuracy": number(accuracy),
    }
    return Plot(canvas.png(figure), data)


def _called(problem: Problem, code: int) -> str:
    return str(problem.classes[code])


def _name(problem: Problem, code: int, most: int) -> str:
    return plain(_called(problem, code), most, otherwise=f"class {code + 1}")
