from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.tabular.errors import TargetError, UnknownColumnError
from tasks.tabular.problem import Problem, Said, identify


def table(target: object) -> pd.DataFrame:
    values = pd.Series(target)
    return pd.DataFrame({"x": np.arange(len(values)) % 7, "target": values})


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        pytest.param(["no", "yes"] * 50, "binary", id="two texts"),
        pytest.param([0, 1] * 50, "binary", id="two codes"),
        pytest.param([True, False] * 50, "binary", id="truth"),
        pytest.param(["a", "b", "c"] * 30, "multiclass", id="three texts"),
        pytest.param([1, 2, 3, 4] * 30, "multiclass", id="four codes"),
        pytest.param(np.arange(100) * 3, "regression", id="many whole numbers"),
        pytest.param(np.linspace(0, 1, 100), "regression", id="fractions"),
        pytest.param(list(range(12)) * 10 + [99], "regression", id="counts with a rare one"),
    ],
)
def test_the_kind_follows_from_the_values(target: object, kind: str) -> None:
    assert identify(table(target), "target").kind == kind


@pytest.mark.parametrize(
    ("target", "said", "kind"),
    [
        ([3, 4, 5, 6, 7] * 30, "regression", "regression"),
        (np.arange(100) % 70, "classification", "multiclass"),
        ([0.5, 1.5] * 50, "classification", "binary"),
        ([True, False] * 50, "regression", "regression"),
    ],
)
def test_what_is_said_decides(target: object, said: Said, kind: str) -> None:
    found = identify(table(target), "target", said, class_rows=1)

    assert found.kind == kind
    assert identify(table(target), "target").kind != kind or kind == "binary"


@pytest.mark.parametrize(
    ("target", "said", "says"),
    [
        (["a", "b"] * 50, "regression", "holds no numbers"),
        (np.linspace(0, 1, 100), "classification", "fractions are no classes"),
        (np.arange(3_000), "classification", "3000 different values, 1000 at most"),
        ([0] * 99 + [1], "classification", "class 1 has 1 rows, 5 are needed"),
    ],
)
def test_what_cannot_be_as_said_is_refused(target: object, said: Said, says: str) -> None:
    with pytest.raises(TargetError, match=says):
        identify(table(target), "target", said)


def test_classes_are_sorted_and_codes_follow_them() -> None:
    frame = table(["yes", "no"] * 50)
    problem = identify(frame, "target")

    assert problem.classes == ("no", "yes")
    assert problem.encode(frame["target"])[:4].tolist() == [1, 0, 1, 0]


def test_rows_without_a_target_do_not_count() -> None:
    frame = table(["a", "b", None] * 40)

    assert identify(frame, "target").classes == ("a", "b")


def test_a_problem_survives_json() -> None:
    problem = Problem("multiclass", "t", (1, 2, 3))

    assert Problem.from_json(problem.to_json()) == problem


@pytest.mark.parametrize(
    ("target", "says"),
    [
        pytest.param(["a"] * 100, "always 'a'", id="one class"),
        pytest.param([None] * 100, "no values", id="no values"),
        pytest.param([f"text {n}" for n in range(100)], "100 different values", id="free text"),
        pytest.param(["a"] * 98 + ["b"] * 2, "class 'b' has 2 rows", id="rare class"),
        pytest.param(["a", "b"] * 10, "20 rows", id="few rows"),
        pytest.param(pd.date_range("2024", periods=100), "it is a date", id="date"),
    ],
)
def test_a_hopeless_target_is_refused(target: object, says: str) -> None:
    with pytest.raises(TargetError, match=says):
        identify(table(target), "target")


def test_a_target_without_features_is_refused() -> None:
    frame = pd.DataFrame({"x": 1, "target": ["a", "b"] * 50})

    with pytest.raises(TargetError, match="no other column"):
        identify(frame, "target")


def test_a_misspelt_target_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownColumnError, match="did you mean target\\?"):
        identify(table(["a", "b"] * 50), "Tarjet")
