from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from tasks.tabular.learners import LEARNERS, make_learner, select
from tasks.tabular.proposals import Proposals
from tasks.tabular.search_errors import UnsuitableLearnerError
from tasks.tabular.spaces import Tunable, spaced

if TYPE_CHECKING:
    from tasks.tabular.problem import Kind
    from tasks.tabular.zoo.entry import Learner


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
        ({"type": "int", "range": [0.1, 0.9]}, "lowest and a highest"),
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


@pytest.mark.parametrize("learner", ["random_forest", "lightgbm", "xgboost", "catboost", "svm"])
@pytest.mark.parametrize("name", ["colour", "random_state", "n_jobs"])
def test_what_is_no_parameter_of_the_learner_is_refused(learner: str, name: str) -> None:
    colour = Tunable.model_validate({"type": "str", "values": ["red"]})

    with pytest.raises(UnsuitableLearnerError, match=f"no parameter '{name}'"):
        spaced(select((learner,)), {learner: {name: colour}}, "binary")


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("learner", LEARNERS.values(), ids=lambda each: each.name)
def test_every_learner_may_be_searched_where_it_usually_is(learner: Learner, kind: Kind) -> None:
    if not learner.handles(kind):
        pytest.skip(f"{learner.name} does not do {kind}")
    truth = Tunable.model_validate({"type": "bool"})

    (found,), _ = spaced([learner], {learner.name: dict.fromkeys(learner.space, truth)}, kind)

    assert set(found.space) == set(learner.space)


def test_a_study_keeps_a_space_of_ones_own_apart() -> None:
    """Optuna holds a parameter to the space it first had."""
    study = optuna.create_study(direction="maximize")
    depth = Tunable.model_validate({"type": "str", "values": ["1", "2"]})
    (other,), _ = spaced(select(("dt",)), {"decision_tree": {"max_depth": depth}}, "binary")

    for number, learner in enumerate([*select(("dt",)), other, *select(("dt",))]):
        _, params = Proposals([learner], seed=0, study=study).ask(number)
        assert "max_depth" in params
