"""CatBoost that watches and is told what categories are, see `boosting`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier, CatBoostRegressor, Pool

from tasks.tabular.boosting import patience

if TYPE_CHECKING:
    from tasks.tabular.boosting import Part

_PROBED = 8
"""Iterations that are tried to learn the speed."""


class _Alarm:
    """Ends CatBoost at an instant, and tells how long an iteration takes."""

    def __init__(self, stop_at: float) -> None:
        self._stop_at = stop_at
        self.times: list[float] = []

    def after_iteration(self, info: object) -> bool:  # noqa: ARG002 - CatBoost's interface
        """Say whether to go on."""
        now = time.monotonic()
        self.times.append(now)
        return now < self._stop_at

    @property
    def seconds(self) -> float:
        """Of one iteration, the first left out."""
        if len(self.times) < 2:  # noqa: PLR2004 - one instant is no duration
            return 0.0
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)


class _Categorical:
    """CatBoost that watches and is told which columns of a frame hold categories."""

    def fit(
        self,
        X: Any,  # noqa: N803 - sklearn's name
        y: Any = None,
        sample_weight: Any = None,
        validation: Part | None = None,
        stop_at: float | None = None,
        **given: Any,
    ) -> Self:
        """Fit; see `boosting`."""
        names = list(X.select_dtypes("category").columns) if isinstance(X, pd.DataFrame) else None
        pool = Pool(X, y, cat_features=names, weight=sample_weight)
        if validation is not None:
            watched = Pool(validation[0], validation[1], cat_features=names)
            rate = self.get_params().get("learning_rate") or 0.08  # type: ignore[attr-defined]
            given |= {"eval_set": watched, "early_stopping_rounds": patience(rate)}
            given |= {"use_best_model": True}
        if stop_at is not None:
            self._affordable(pool, stop_at)
            given["callbacks"] = [_Alarm(stop_at)]
        super().fit(pool, **given)  # type: ignore[misc]
        return self

    def _affordable(self, pool: Any, stop_at: float) -> None:
        """Lower the iterations to what the time allows; CatBoost then takes longer steps."""
        params = self.get_params()  # type: ignore[attr-defined]
        alarm = _Alarm(stop_at)
        probe = type(self)(**{**params, "iterations": _PROBED})
        super(_Categorical, probe).fit(pool, callbacks=[alarm])  # type: ignore[misc]
        left = stop_at - time.monotonic()
        wanted = params.get("iterations") or 1000
        iterations = int(np.clip(0.95 * left / max(alarm.seconds, 1e-6), 30, wanted))
        self.set_params(iterations=iterations)  # type: ignore[attr-defined]


class CategoricalCatBoostClassifier(_Categorical, CatBoostClassifier):  # type: ignore[misc]  # untyped
    """CatBoost's classifier on frames with categories."""


class CategoricalCatBoostRegressor(_Categorical, CatBoostRegressor):  # type: ignore[misc]  # untyped
    """CatBoost's regressor on frames with categories."""
