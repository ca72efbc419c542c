from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from tasks.tabular.learners import make_learner, select
from tasks.tabular.search_errors import UnsuitableLearnerError
from tasks.tabular.spaces import Tunable, spaced


@pytest.mark.parametrize(
    ("given", "space"),
    [
        ({"type": "int", "default": 10, "range": [1, 100]}, IntDistribution(1, 100)),
        ({"type": "float", "range": [1e-3, 1], "log": True}, FloatDistribution(1e-3, 1, log=True)),
        ({"type": "str", "values": ["sqrt", "log2"]}, CategoricalDistribution(("sqrt", "log2"))),
        ({"type": "str", "range": ["sqrt", "log2"]}, CategoricalDistribution(("sqrt", "log2"))),
        ({"type": "bool", "default": True}, CategoricalDistribution((False, True))),
    ],
)
def test_a_hyperparameter_of_btb_is_a_distribution_of_optuna(given: Any, space: Any) -> None:
    assert Tunable.model_validate(given).distribution() == space


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"type": "int"}, "lowest and a highest"),
        ({"type": "int", "range": [1]}, "lowest and a highest"),
        ({"type": "int", "range": ["a", "b"]}, "lowest and a highest"),
        ({"type": "int", "range": [9, 1]}, "low"),
        ({"type": "float", "range": [0, 1], "log": True}, "low"),
        ({"type": "str"}, "at least one|choices"),
        ({"type": "str", "values": ["a"], "range": ["b"]}, "not both"),
        ({"type": "int", "range": [1, 5], "default": 9}, "not in the space"),
        ({"type": "str", "values": ["a"], "default": "b"}, "not in"),
        ({"type": "list", "values": ["a"]}, "type"),
    ],
)
def test_what_is_no_space_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Tunable.model_validate(given)


def test_learners_are_searched_in_the_given_space_and_start_from_its_defaults() -> None:
    leaves = Tunable.model_validate({"type": "int", "default": 15, "range": [7, 31]})
    rate = Tunable.model_validate({"type": "float", "range": [0.01, 0.1]})

    given = {"lightgbm": {"num_leaves": leaves, "learning_rate": rate}}
    (light, trees), starts = spaced(select(("lightgbm", "rf"), "binary"), given, "binary")

    assert light.space == {
        "num_leaves": IntDistribution(7, 31),
        "learning_rate": FloatDistribution(0.01, 0.1),
    }
    assert trees.space == select(("rf",))[0].space
    assert starts == {"lightgbm": {"num_leaves": 15}}
    built = make_learner(light, starts["lightgbm"], "binary", seed=0, threads=1)
    assert built.get_params()["num_leaves"] == 15


def test_a_parameter_the_learner_does_not_know_is_refused() -> None:
    colour = Tunable.model_validate({"type": "str", "values": ["red"]})

    with pytest.raises(UnsuitableLearnerError, match="colour"):
        spaced(select(("rf",)), {"random_forest": {"colour": colour}}, "binary")
