"""Search spaces as a request words them: BTB's `Tunable`, as JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, Field, model_validator

from tasks.tabular.allowed import NOT_PARAMETERS
from tasks.tabular.errors import suggest
from tasks.tabular.learners import make_learner
from tasks.tabular.proposals import contains
from tasks.tabular.search_errors import UnsuitableLearnerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.distributions import BaseDistribution

    from tasks.tabular.problem import Kind
    from tasks.tabular.zoo.entry import Learner, Params

Value = str | int | float | bool | None


class Tunable(BaseModel, frozen=True, extra="forbid"):
    """One hyperparameter, as `{"type": "int", "default": 10, "range": [1, 100]}`.

    Numbers have a `range`, lowest and highest; texts have `values`, for which BTB says `range`
    too; a truth value needs neither.
    """

    type: Literal["int", "float", "str", "bool"]
    default: Value = Field(default=None, description="What the strategy optuna tries first")
    range: tuple[Value, ...] = ()
    values: tuple[Value, ...] = ()
    log: bool = Field(default=False, description="Search orders of magnitude")

    @model_validator(mode="after")
    def _makes_a_space(self) -> Self:
        if self.range and self.values:
            raise ValueError("give a `range` or `values`, not both")
        try:
            space = self.distribution()
        except (TypeError, IndexError) as error:
            raise ValueError(f"a {self.type} needs a lowest and a highest number") from error
        if self.default is not None and not contains(space, self.default):
            raise ValueError(f"the default {self.default!r} is not in the space")
        return self

    def distribution(self) -> BaseDistribution:
        """Return the space as Optuna knows it."""
        given = self.range or self.values
        if self.type == "bool":
            return CategoricalDistribution((False, True))
        if self.type == "str":
            return CategoricalDistribution(given)
        if any(isinstance(each, bool | str | None) for each in given) or len(given) != 2:  # noqa: PLR2004
            raise TypeError
        low, high = given
        if self.type == "int":
            if any(isinstance(each, float) and not each.is_integer() for each in given):
                raise TypeError
            return IntDistribution(low, high, log=self.log)
        return FloatDistribution(low, high, log=self.log)


Spaces = dict[str, dict[str, Tunable]]
"""Hyperparameters by name by learner."""


def spaced(
    learners: Sequence[Learner], spaces: Mapping[str, Mapping[str, Tunable]], kind: Kind
) -> tuple[list[Learner], dict[str, Params]]:
    """Return learners that are searched in these spaces, and the defaults to start from.

    Raises
    ------
    UnsuitableLearnerError
        If a learner does not know a parameter.
    """
    found: list[Learner] = []
    starts: dict[str, Params] = {}
    for each in learners:
        space = spaces.get(each.name)
        if space is None:
            found.append(each)
            continue
        start: Params = {k: v.default for k, v in space.items() if v.default is not None}
        _require(each, space, kind)
        found.append(replace(each, space={k: v.distribution() for k, v in space.items()}))
        starts[each.name] = start
    return found, starts


def _require(learner: Learner, space: Mapping[str, Tunable], kind: Kind) -> None:
    """Raise unless the learner has the parameters: some take any, and ignore them."""
    known = _parameters(make_learner(learner, {}, kind, seed=0, threads=1)) | set(learner.space)
    for name in space:
        if name not in known - NOT_PARAMETERS:
            near = suggest(name, tuple(sorted(known - NOT_PARAMETERS)))
            raise UnsuitableLearnerError(learner.name, f"it has no parameter {name!r}; {near}")


def _parameters(estimator: Any) -> set[str]:
    """Return an estimator's parameters, and those of the one it wraps."""
    own = set(estimator.get_params(deep=False))
    inner = getattr(estimator, "estimator", getattr(estimator, "regressor", None))
    return own if inner is None else own | _parameters(inner)  # an unfitted forest has no truth
