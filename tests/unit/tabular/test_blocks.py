"""Trees asked block by block answer as LightGBM does when it is asked for all, to the bit."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from tasks.tabular.plans import blocks, forests, native
from tasks.tabular.plans.native import LightGBMTrees

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS, CLASSES = 700, 3


def table(seed: int = 3, rows: int = ROWS) -> NDArray[np.float64]:
    """Numbers with gaps and zeros, and two columns of codes."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 4))
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    numbers[rng.random(numbers.shape) < 0.1] = 0.0
    codes = rng.integers(0, 40, size=(rows, 2)).astype(float)
    return np.column_stack([numbers, codes])


def strangers() -> NDArray[np.float64]:
    """Rows that no training saw: extremes, unknown codes, gaps where there were none."""
    rows = table(seed=8)
    rng = np.random.default_rng(9)
    odd = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-300, 0.0, -0.0, -1.0, 1e9])
    chosen = rng.random(rows.shape) < 0.3
    rows[chosen] = rng.choice(odd, size=int(chosen.sum()))
    return rows


def boosted(objective: str, *, trees: int = 80, **parameters: Any) -> lightgbm.Booster:
    rows = table()
    signal = np.nan_to_num(rows[:, 0]) + np.sin(rows[:, 4]) + np.nan_to_num(rows[:, 1]) ** 2
    target = {
        "binary": signal > 1,
        "multiclass": np.digitize(signal, [0.5, 1.5]),
        "multiclassova": np.digitize(signal, [0.5, 1.5]),
        "cross_entropy": 1 / (1 + np.exp(-signal)),
        "poisson": np.abs(signal),
    }.get(objective, signal)
    given = {"objective": objective, "verbose": -1, "seed": 1, "num_threads": 1, **parameters}
    if objective.startswith("multiclass"):
        given["num_class"] = CLASSES
    data = lightgbm.Dataset(rows, target.astype(float), categorical_feature=[4, 5])
    return lightgbm.train(given, data, trees)


def opened(booster: lightgbm.Booster, *, raw: bool = False) -> LightGBMTrees:
    return LightGBMTrees(booster.model_to_string(), 6, booster.num_model_per_iteration(), raw=raw)


def assert_the_same(trees: LightGBMTrees, booster: lightgbm.Booster, *, raw: bool = False) -> None:
    rows = strangers()
    expected = booster.predict(rows, raw_score=raw, num_threads=1).reshape(ROWS, -1)
    np.testing.assert_array_equal(trees.predict(rows), expected, strict=True)


def at_once(trees: LightGBMTrees) -> NDArray[np.float64]:
    """What LightGBM answers when it is asked for all sums."""
    return trees._whole.ask(strangers(), 1, trees._outputs)


SUMS = ["regression", "regression_l1", "huber", "fair", "quantile", "mape"]


@pytest.mark.parametrize("objective", ["binary", "multiclass", *SUMS])
@pytest.mark.parametrize("raw", [False, True])
def test_answers_are_lightgbms_to_the_bit(
    objective: str, raw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    booster = boosted(objective)
    trees = opened(booster, raw=raw)
    monkeypatch.setattr(trees._whole, "ask", pytest.fail)

    assert_the_same(trees, booster, raw=raw)

    assert len(trees._blocks) > 1
    assert sum(each._trees for each in trees._blocks) == booster.num_trees()


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"objective": "poisson"}, id="another link"),
        pytest.param({"objective": "multiclassova"}, id="one against the rest"),
        pytest.param({"objective": "binary", "sigmoid": 2.0}, id="another slope"),
        pytest.param({"objective": "regression", "reg_sqrt": True}, id="roots"),
        pytest.param({"objective": "cross_entropy"}, id="shares"),
        pytest.param({"objective": "regression", "linear_tree": True}, id="lines in leaves"),
        pytest.param(
            {
                "objective": "binary",
                "boosting": "rf",
                "bagging_freq": 1,
                "bagging_fraction": 0.5,
            },
            id="means",
        ),
        pytest.param({"objective": "binary", "trees": 20}, id="few trees"),
    ],
)
def test_whatever_else_is_asked_at_once(parameters: dict[str, Any]) -> None:
    booster = boosted(**parameters)
    trees = opened(booster)

    assert trees._blocks == []
    assert_the_same(trees, booster)


def test_few_rows_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    booster = boosted("binary")
    trees = opened(booster)
    monkeypatch.setattr(native._Booster, "leaves", pytest.fail)
    few = strangers()[: blocks.LEAST_ROWS - 1]

    np.testing.assert_array_equal(trees.predict(few)[:, 0], booster.predict(few, num_threads=1))


def test_trees_of_a_single_leaf_count_too() -> None:
    booster = boosted("regression", min_data_in_leaf=ROWS)
    text = booster.model_to_string()
    grown = boosted("regression").model_to_string()
    sizes = set(re.findall(r"^num_leaves=\d+", text, re.MULTILINE))
    assert "num_leaves=1" in sizes

    mixed = _joined(grown, text)
    trees = LightGBMTrees(mixed, 6, 1, raw=True)

    assert trees._blocks
    np.testing.assert_array_equal(trees.predict(strangers()), at_once(trees))


def _joined(one: str, other: str) -> str:
    """A model with the trees of both."""
    head, *trees = one[: one.index("end of trees")].split("\nTree=")
    added = other[: other.index("end of trees")].split("\nTree=")[1:]
    bodies = [each.split("\n", 1)[1] for each in (*trees, *added)]
    numbered = [f"\nTree={place}\n{body}" for place, body in enumerate(bodies)]
    return _sizeless(head) + "".join(numbered) + "\nend of trees\n"


def _sizeless(text: str) -> str:
    """A model that does not say how long the text of its trees is: LightGBM would believe it."""
    return re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("leaf", [1, 20])
def test_a_forest_of_several_classes_is_asked_in_blocks(leaf: int) -> None:
    rows = np.nan_to_num(table())
    target = np.digitize(rows[:, 0] + rows[:, 1], [-0.5, 0.5])
    forest = RandomForestClassifier(30, min_samples_leaf=leaf, random_state=0).fit(rows, target)
    trees = (
        forests.of_sklearn(each.tree_, each.tree_.value[:, 0, place])
        for each in forest.estimators_
        for place in range(CLASSES)
    )
    text = forests.write(trees, features=6, outputs=CLASSES)
    opened_ = LightGBMTrees(text, 6, CLASSES, raw=True)

    assert len(opened_._blocks) > 1
    np.testing.assert_array_equal(opened_.predict(strangers()), at_once(opened_), strict=True)


def test_sums_beyond_all_bounds_are_left_to_lightgbm() -> None:
    text = boosted("binary").model_to_string()
    huge = re.sub(
        r"^leaf_value=(.*)$",
        lambda found: "leaf_value=" + " ".join(["-40.0"] * len(found[1].split())),
        _sizeless(text),
        flags=re.MULTILINE,
    )
    trees = LightGBMTrees(huge, 6, 1, raw=False)

    with pytest.raises(OverflowError):
        trees._sums.predict(each.leaves(strangers()) for each in trees._blocks)
    assert trees.predict(strangers()).tolist() == [[0.0]] * ROWS


@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_threads_may_ask_for_different_rows(objective: str) -> None:
    booster = boosted(objective)
    trees, rows = opened(booster), strangers()
    sizes = [ROWS, 1, 300, 5, 600, 250, 199, 201]
    expected = {size: booster.predict(rows[:size], num_threads=1) for size in sizes}

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda size: trees.predict(rows[:size]), sizes * 40))

    for size, answer in zip(sizes * 40, found, strict=True):
        np.testing.assert_array_equal(answer, expected[size].reshape(size, -1))


@pytest.mark.parametrize(
    ("sizes", "outputs", "spans"),
    [
        ([31] * 100, 1, [0, 25, 50, 75]),
        ([31] * 60, 2, [0, 24, 48]),
        ([900] * 7, 1, [0, 3, 6]),
        ([900] * 8, 2, [0, 4]),
        ([1] * 9, 3, [0]),
    ],
)
def test_blocks_hold_few_leaves_or_few_trees(
    sizes: list[int], outputs: int, spans: list[int]
) -> None:
    assert blocks._spans(np.array(sizes), outputs) == spans
