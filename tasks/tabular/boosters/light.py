"""LightGBM that watches, see `boosting`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from lightgbm import LGBMClassifier, LGBMRegressor
from lightgbm.callback import EarlyStopException

from tasks.tabular.boosting import Pace

if TYPE_CHECKING:
    from tasks.tabular.boosting import Part


class _LightGBMPace:
    """The pace as LightGBM calls it."""

    order = 30
    before_iteration = False

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._rate = pace.rate

    def __call__(self, env: Any) -> None:
        """Stop, or go on with the pace's step."""
        results = env.evaluation_result_list
        rate = self._pace.after(env.iteration, results[0][2] if results else -env.iteration)
        if rate is None:
            raise EarlyStopException(self._pace.best, results)
        if rate != self._rate:
            self._rate = rate
            env.model.reset_parameter({"learning_rate": rate})


class _LightGBM:
    """LightGBM that watches."""

    def fit(
        self,
        X: Any,  # noqa: N803 - sklearn's name
        y: Any,
        sample_weight: Any = None,
        validation: Part | None = None,
        stop_at: float | None = None,
    ) -> Self:
        """Fit; see `boosting`."""
        given: dict[str, Any] = {}
        pace: Pace | None = None
        if validation is not None or stop_at is not None:
            pace = Pace(float(self.learning_rate or 0.1), stop_at)  # type: ignore[attr-defined]
            given = {"callbacks": [_LightGBMPace(pace)]}
        if validation is not None:
            given |= {"eval_X": validation[0], "eval_y": validation[1]}
        super().fit(X, y, sample_weight=sample_weight, **given)  # type: ignore[misc]  # LightGBM's
        if pace is not None:
            self.rate_ = pace.rate
        return self


class StoppedLGBMClassifier(_LightGBM, LGBMClassifier):  # type: ignore[misc]  # untyped
    """LightGBM's classifier that watches."""


class StoppedLGBMRegressor(_LightGBM, LGBMRegressor):  # type: ignore[misc]  # untyped
    """LightGBM's regressor that watches."""
