"""XGBoost that watches, see `boosting`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xgboost import XGBClassifier, XGBRegressor
from xgboost.callback import TrainingCallback

from tasks.tabular.boosting import Pace

if TYPE_CHECKING:
    from tasks.tabular.boosting import Part


class _XGBoostPace(TrainingCallback):  # type: ignore[misc]  # untyped
    """The pace as XGBoost calls it."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace
        self._rate = pace.rate

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Stop, or go on with the pace's step."""
        logs = [values for part in evals_log.values() for values in part.values()]
        rate = self._pace.after(epoch, logs[0][-1] if logs else -epoch)
        if rate is None:
            model.set_attr(best_iteration=str(self._pace.best))
            return True
        if rate != self._rate:
            self._rate = rate
            model.set_param("learning_rate", rate)
        return False

    def after_training(self, model: Any) -> Any:
        """Answer with the best iteration."""
        model.set_attr(best_iteration=str(self._pace.best))
        return model


class _XGBoost:
    """XGBoost that watches."""

    learning_rate: Any
    callbacks: Any

    def fit(
        self,
        X: Any,  # noqa: N803 - sklearn's name
        y: Any,
        sample_weight: Any = None,
        validation: Part | None = None,
        stop_at: float | None = None,
    ) -> Self:
        """Fit; see `boosting`."""
        given: dict[str, Any] = {"sample_weight": sample_weight}
        pace: Pace | None = None
        if validation is not None or stop_at is not None:
            pace = Pace(float(self.learning_rate or 0.3), stop_at)
            self.callbacks = [_XGBoostPace(pace)]
        if validation is not None:
            given |= {"eval_set": [validation], "verbose": False}
        rate = self.learning_rate
        try:
            super().fit(X, y, **given)  # type: ignore[misc]
        finally:
            self.callbacks = None
            self.learning_rate = rate
        if pace is not None:
            self.rate_ = pace.rate
        return self


class StoppedXGBClassifier(_XGBoost, XGBClassifier):  # type: ignore[misc]  # untyped
    """XGBoost's classifier that watches."""


class StoppedXGBRegressor(_XGBoost, XGBRegressor):  # type: ignore[misc]  # untyped
    """XGBoost's regressor that watches."""
