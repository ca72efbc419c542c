"""scikit-learn's forests that keep to a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

if TYPE_CHECKING:
    from tasks.tabular.boosting import Part


class _Growing:
    """A forest that grows until its time is up."""

    n_estimators: int

    def fit(
        self,
        X: Any,  # noqa: N803 - sklearn's name
        y: Any,
        sample_weight: Any = None,
        validation: Part | None = None,  # noqa: ARG002 - a forest needs no watching
        stop_at: float | None = None,
    ) -> Self:
        """Fit; with `stop_at`, in portions of trees until then."""
        if stop_at is None:
            super().fit(X, y, sample_weight)  # type: ignore[misc]
            return self
        wanted = self.n_estimators
        self.warm_start = True
        try:
            grown = 0
            while grown < wanted and (not grown or time.monotonic() < stop_at):
                grown = min(wanted, grown + max(5, wanted // 10))
                self.n_estimators = grown
                super().fit(X, y, sample_weight)  # type: ignore[misc]
        finally:
            self.warm_start = False
        return self


class GrowingRandomForestClassifier(_Growing, RandomForestClassifier):  # type: ignore[misc]  # untyped
    """scikit-learn's random forest that keeps to a time."""


class GrowingRandomForestRegressor(_Growing, RandomForestRegressor):  # type: ignore[misc]  # untyped
    """scikit-learn's random forest that keeps to a time."""


class GrowingExtraTreesClassifier(_Growing, ExtraTreesClassifier):  # type: ignore[misc]  # untyped
    """scikit-learn's extremely randomised trees that keep to a time."""


class GrowingExtraTreesRegressor(_Growing, ExtraTreesRegressor):  # type: ignore[misc]  # untyped
    """scikit-learn's extremely randomised trees that keep to a time."""
