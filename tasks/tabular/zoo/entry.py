"""What a learner is to a search: how it is built, what may be tried, what it can handle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.tabular.features import Family
    from tasks.tabular.problem import Kind

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Learner:
    """How to build one kind of estimator, which parameters to try, and what it can handle.

    `classifier` and `regressor` get parameters, a seed and a thread count; None where there is
    no such thing. `space` holds Optuna distributions by parameter. `stops` says that it watches
    a validation part and ends by itself, see `boosting`. `aliases` are PyCaret's ids and other
    names people know. A learner whose cost grows with the square of the rows has `max_rows`;
    `dense` ones read no sparse rows; `extra` names a package that may not be installed, and
    `modules` what takes long to import.
    """

    name: str
    family: Family
    classifier: Callable[[Params, int, int], Any] | None
    regressor: Callable[[Params, int, int], Any] | None
    space: Mapping[str, BaseDistribution] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    stops: bool = False
    max_rows: int = 0
    max_classes: int = 0
    dense: bool = False
    extra: str = ""
    modules: tuple[str, ...] = ()

    def handles(self, kind: Kind, rows: int = 0, classes: int = 0) -> bool:
        """Whether it is worth trying on a table of `rows` rows."""
        build = self.regressor if kind == "regression" else self.classifier
        few = not self.max_rows or rows <= self.max_rows
        return build is not None and few and (not self.max_classes or classes <= self.max_classes)


def real(low: float, high: float, *, log: bool = False) -> FloatDistribution:
    """Return a distribution of real numbers."""
    return FloatDistribution(low, high, log=log)


def whole(low: int, high: int, *, log: bool = False) -> IntDistribution:
    """Return a distribution of whole numbers."""
    return IntDistribution(low, high, log=log)


def one_of(*choices: str | int | float | bool | None) -> CategoricalDistribution:
    """Return a distribution of names."""
    return CategoricalDistribution(choices)


def simple(
    classifier: type | None,
    regressor: type | None,
    *,
    seeded: bool = True,
    threaded: bool = False,
    **defaults: Any,
) -> dict[Literal["classifier", "regressor"], Any]:
    """Return the two constructors of estimators that take parameters as they are."""

    def built(kind: type | None) -> Any:
        if kind is None:
            return None

        def build(params: Params, seed: int, threads: int) -> Any:
            given = {**defaults, **params}
            if seeded:
                given["random_state"] = seed
            if threaded:
                given["n_jobs"] = threads
            return kind(**given)

        return build

    return {"classifier": built(classifier), "regressor": built(regressor)}
