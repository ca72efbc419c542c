from __future__ import annotations

import gc
import io
import json
import logging
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib import image, rcParams
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from tasks.tabular.calibration import expected_calibration_error
from tasks.tabular.canvas import Plot, plain
from tasks.tabular.plots import (
    MAX_BARS,
    evaluation_plots,
    history_plot,
    importances_plot,
    pareto_plot,
)
from tasks.tabular.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARY = Problem("binary", "y", ("no", "yes"))
REGRESSION = Problem("regression", "y")
CURVES = {"roc", "precision_recall", "calibration"}

HOSTILE = (
    "$",
    "$a$",
    "a$b",
    r"a\$b$\frac{1}$",
    "_hidden",
    "_" * 40,
    "two\nlines\r\n\tand a tab",
    "x" * 300,
    "日本語のラベル",
    "naïve 😀",
    "مرحبا",
    "\x00\x1b[31m",
    "\ud800",
    "",
    " ",
    "<b>&amp;</b>",
    "{}%s{0}",
)


@pytest.fixture(autouse=True)
def strict(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Drawing neither warns nor logs nor touches matplotlib's global settings."""
    before = dict(rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert dict(rcParams) == before
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def binary(rng: np.random.Generator, rows: int = 600) -> tuple:
    y = (rng.random(rows) < 0.3).astype(int)
    odds = rng.normal(size=rows) + 1.5 * y - 1.2
    probability = 1 / (1 + np.exp(-odds))
    return y, np.column_stack([1 - probability, probability])


def many(rng: np.random.Generator, classes: int, rows: int = 600) -> tuple:
    y = np.append(np.arange(classes), rng.integers(0, classes, rows - classes))
    lean = np.exp(rng.normal(size=(rows, classes)) + 2 * np.eye(classes)[y])
    return y, lean / lean.sum(axis=1, keepdims=True)


def named(*names: str) -> Problem:
    return Problem("binary" if len(names) == 2 else "multiclass", "y", names)


def assert_sound(plot: Plot) -> None:
    """The picture shows something in ink, in a sensible size, and the data are strict JSON."""
    pixels = image.imread(io.BytesIO(plot.png))
    height, width = pixels.shape[:2]
    assert 250 < height < 2_000
    assert 300 < width < 2_000
    inked = (pixels[..., :3].min(axis=2) < 0.6).mean()
    assert 0.002 < inked < 0.7
    assert (pixels[:2, :, :3] > 0.95).all(), "something is cut off at the top"
    json.dumps(plot.data, allow_nan=False)


def test_two_classes_are_drawn_in_four_ways(rng: np.random.Generator) -> None:
    y, scores = binary(rng)

    plots = evaluation_plots(BINARY, y, scores, 0.4)

    assert set(plots) == CURVES | {"confusion"}
    for each in plots.values():
        assert_sound(each)
    (roc,) = plots["roc"].data["classes"]
    assert roc["class"] == "yes"
    assert roc["area"] == pytest.approx(roc_auc_score(y, scores[:, 1]), abs=1e-5)
    assert np.trapezoid(roc["y"], roc["x"]) == pytest.approx(roc["area"], abs=0.01)
    (curve,) = plots["precision_recall"].data["classes"]
    average = average_precision_score(y, scores[:, 1])
    assert curve["average_precision"] == pytest.approx(average, abs=1e-5)
    matrix = confusion_matrix(y, scores[:, 1] >= 0.4)
    assert plots["confusion"].data["counts"] == matrix.tolist()
    calibration = plots["calibration"].data
    assert calibration["expected_calibration_error"] == pytest.approx(
        expected_calibration_error(y, scores), abs=1e-5
    )
    assert sum(each["rows"] for each in calibration["bins"]) == len(y)
    assert all(each["low"] <= each["share"] <= each["high"] for each in calibration["bins"])
    assert plots["roc"].data["rows"] == plots["roc"].data["rows_drawn"] == len(y)


@pytest.mark.parametrize("classes", [3, 12, 50])
def test_many_classes_are_drawn(classes: int, rng: np.random.Generator) -> None:
    y, scores = many(rng, classes)
    problem = named(*(f"class {code}" for code in range(classes)))

    plots = evaluation_plots(problem, y, scores)

    assert set(plots) == CURVES | {"confusion"}
    for each in plots.values():
        assert_sound(each)
    for code, each in enumerate(plots["roc"].data["classes"]):
        assert each["area"] == pytest.approx(roc_auc_score(y == code, scores[:, code]), abs=1e-5)


def test_more_classes_than_a_page_holds_have_no_confusion(rng: np.random.Generator) -> None:
    y, scores = many(rng, 60)

    plots = evaluation_plots(named(*map(str, range(60))), y, scores)

    assert set(plots) == CURVES


def test_quantities_are_drawn_in_two_ways(rng: np.random.Generator) -> None:
    y = rng.gamma(2, size=500) * 1e5
    values = y * rng.lognormal(0, 0.3, 500)

    plots = evaluation_plots(REGRESSION, y, values)

    assert set(plots) == {"residuals", "predicted_vs_actual"}
    for each in plots.values():
        assert_sound(each)
    residuals = plots["residuals"].data
    assert residuals["mean"] == pytest.approx(np.mean(y - values), rel=1e-5)
    assert sum(residuals["histogram"]["counts"]) == len(y)
    assert len(plots["predicted_vs_actual"].data["points"]) == len(y)


def test_hostile_class_names_are_drawn(rng: np.random.Generator) -> None:
    y, scores = many(rng, len(HOSTILE))

    plots = evaluation_plots(named(*HOSTILE), y, scores)

    for each in plots.values():
        assert_sound(each)
    assert plots["confusion"].data["classes"] == list(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_one_hostile_name_is_drawn(name: str, rng: np.random.Generator) -> None:
    y, scores = binary(rng, 60)

    for each in evaluation_plots(named("other", name), y, scores).values():
        assert_sound(each)


def test_hostile_names_become_one_short_line() -> None:
    for name in HOSTILE:
        drawn = plain(name, 20)

        assert len(drawn.replace("\\$", "$")) <= 20
        assert "\n" not in drawn
    assert plain("日本語", otherwise="class 3") == "class 3"
    assert plain("日本語") == "▯▯▯"
    assert plain("a" * 50 + "end").endswith("end")


@pytest.mark.parametrize("constant", [0.0, 0.5, 1.0])
def test_constant_scores_are_drawn(constant: float) -> None:
    y = np.arange(80) % 2

    plots = evaluation_plots(BINARY, y, np.tile([1 - constant, constant], (80, 1)))

    for each in plots.values():
        assert_sound(each)
    assert plots["roc"].data["classes"][0]["area"] == 0.5


@pytest.mark.parametrize("rows", [1, 2])
def test_a_row_or_two_of_one_class_are_drawn(rows: int) -> None:
    for code in (0, 1):
        plots = evaluation_plots(BINARY, np.full(rows, code), np.tile([0.3, 0.7], (rows, 1)))

        for each in plots.values():
            assert_sound(each)
        assert plots["roc"].data["classes"] == []
    three = evaluation_plots(named("a", "b", "c"), np.array([2]), np.array([[0.2, 0.3, 0.5]]))
    for each in three.values():
        assert_sound(each)


@pytest.mark.parametrize(
    ("y", "values"),
    [
        ([3.0], [4.0]),
        ([3.0] * 50, [3.0] * 50),
        ([0.0] * 50, [0.0] * 50),
        ([0.0, 1e90], [1e-90, -1e90]),
        (list(range(50)), [7.0] * 50),
        ([1e-300, 2e-300], [1e-300, 3e-300]),
        ([1e9, 1e9 + 1e-6], [1e9, 1e9]),
    ],
)
def test_odd_quantities_are_drawn(y: list[float], values: list[float]) -> None:
    plots = evaluation_plots(REGRESSION, np.array(y), np.array(values))

    assert len(plots) == 2
    for each in plots.values():
        assert_sound(each)


def test_what_cannot_be_drawn_is_left_out_and_told(rng: np.random.Generator) -> None:
    y, scores = binary(rng)
    scores[:5] = np.nan
    values = rng.normal(size=90)
    values[:3] = np.inf, np.nan, 1e300

    classes = evaluation_plots(BINARY, y, scores)
    quantities = evaluation_plots(REGRESSION, rng.normal(size=90), values)

    assert classes["roc"].data["rows_left_out"] == 5
    assert quantities["residuals"].data["rows_left_out"] == 3
    assert evaluation_plots(BINARY, y[:5], scores[:5]) == {}
    assert evaluation_plots(REGRESSION, values[:0], values[:0]) == {}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_million_rows_are_sampled_and_told(kind: str, rng: np.random.Generator) -> None:
    rows = 1_000_000
    problem, y, scores = {
        "binary": lambda: (BINARY, *binary(rng, rows)),
        "multiclass": lambda: (named("a", "b", "c", "d"), *many(rng, 4, rows)),
        "regression": lambda: (REGRESSION, rng.normal(size=rows), rng.normal(size=rows)),
    }[kind]()
    evaluation_plots(problem, y[:50], scores[:50])  # the first picture loads fonts
    started = time.process_time()

    plots = evaluation_plots(problem, y, scores)

    assert time.process_time() - started < 4  # 1 s alone, the machine is shared
    for each in plots.values():
        assert each.data["rows"] == rows
        assert len(json.dumps(each.data)) < 200_000
    if kind != "binary":
        first = plots["residuals" if kind == "regression" else "roc"]
        assert first.data["rows_drawn"] < rows


def test_the_greatest_errors_of_many_are_drawn(rng: np.random.Generator) -> None:
    y = rng.normal(size=100_000)
    y[77] = 1_000

    points = evaluation_plots(REGRESSION, y, np.zeros(len(y)))["residuals"].data["points"]

    assert [0, 1_000] in points


def test_the_same_input_gives_the_same_bytes(rng: np.random.Generator) -> None:
    y, scores = binary(rng)

    assert evaluation_plots(BINARY, y, scores) == evaluation_plots(BINARY, y, scores)


def test_threads_may_draw_at_once(rng: np.random.Generator) -> None:
    y, scores = binary(rng)

    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: evaluation_plots(BINARY, y, scores), range(4)))

    assert all(each == drawn[0] for each in drawn)


def test_figures_do_not_pile_up(rng: np.random.Generator) -> None:
    y, scores = binary(rng, 50)
    for _ in range(3):
        evaluation_plots(BINARY, y, scores)
    gc.collect()

    assert not [each for each in gc.get_objects() if type(each) is Figure]


def test_importances_are_drawn_greatest_first(rng: np.random.Generator) -> None:
    plot = importances_plot(["a", "b", "c"], [0.1, -0.5, np.nan], [0.1, 0.2, np.nan])

    assert_sound(plot)
    assert plot.data["names"] == ["b", "a", "c"]
    assert plot.data["errors"] == [0.2, 0.1, 0]


@pytest.mark.parametrize("count", [0, 1, MAX_BARS + 30])
def test_any_number_of_importances_is_drawn(count: int) -> None:
    names = [f"{HOSTILE[each % len(HOSTILE)]}{each}" for each in range(count)]

    assert_sound(importances_plot(names, [float(each) for each in range(count)]))
    assert_sound(importances_plot(names, [0.0] * count, [0.0] * count))


def test_hostile_columns_are_drawn() -> None:
    assert_sound(importances_plot(HOSTILE, [1.0] * len(HOSTILE)))


def test_the_history_keeps_the_best_so_far() -> None:
    points = [
        (3.0, 0.8, "b"),
        (1.0, 0.7, "a"),
        (2.0, None, "$x$"),
        (4.0, 0.75, "a"),
        (5, np.nan, ""),
    ]

    plot = history_plot(points, metric="roc_auc")

    assert_sound(plot)
    assert plot.data["best_so_far"] == [[1, 0.7], [3, 0.8], [4, 0.8]]
    assert [each["score"] for each in plot.data["points"]] == [0.7, None, 0.8, 0.75, None]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1.0, None, "a")],
        [(1.0, 0.5, "a")],
        [(0.0, 0.5, "a")] * 30,
        [(float(each), -(10.0**each), HOSTILE[each % len(HOSTILE)]) for each in range(40)],
        [(float(each), 0.9 - 1e6 * (each == 3), "_a") for each in range(40)],
    ],
)
def test_any_history_is_drawn(points: list) -> None:
    assert_sound(history_plot(points, metric="a$_\n" * 20))


def test_the_front_is_what_none_beats_at_both() -> None:
    names = ["slow", "fast", "beaten", "best", "equal", "broken"]
    scores = [0.8, 0.7, 0.6, 0.9, 0.9, np.nan]
    latencies = [5, 1, 2, 20, 30, 1]

    plot = pareto_plot(names, scores, latencies, metric="roc_auc", chosen="slow")

    assert_sound(plot)
    front = [each["name"] for each in plot.data["points"] if each["front"]]
    assert front == ["slow", "fast", "best"]
    assert plot.data["points"][-1]["score"] is None


@pytest.mark.parametrize(
    ("scores", "latencies"),
    [
        ([], []),
        ([0.5], [1.0]),
        ([0.5] * 17, [1.0] * 17),
        ([np.nan], [1.0]),
        ([0.5, 0.6], [0.0, np.inf]),
        ([-1e9, 1e-9], [1e-6, 1e6]),
        (list(np.linspace(0, 1, 17)), list(np.linspace(1, 2, 17))),
    ],
)
def test_any_trade_off_is_drawn(scores: list[float], latencies: list[float]) -> None:
    names = HOSTILE[: len(scores)]

    assert_sound(pareto_plot(names, scores, latencies, chosen=names[0] if names else None))
