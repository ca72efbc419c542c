"""Steps that fill, limit and leave out columns."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tasks.tabular.steps.base import Columns, Context, Step
from tasks.tabular.transformers.numbers import Clipper


class Impute(Step):
    """Fill missing values; `indicator` adds a column that says where."""

    step: Literal["impute"] = "impute"
    columns: Columns = "numeric"
    strategy: Literal["median", "mean", "most_frequent", "constant", "knn", "iterative"] = "median"
    fill_value: float | str | None = Field(default=None, description="With strategy `constant`")
    indicator: bool = Field(default=False, description="Add a column per column with gaps")
    neighbors: int = Field(default=5, ge=1, description="With strategy `knn`")

    @model_validator(mode="after")
    def _has_value(self) -> Self:
        if (self.strategy == "constant") != (self.fill_value is not None):
            raise ValueError("`fill_value` belongs to the strategy `constant`, and it needs one")
        return self

    def build(self, context: Context) -> Any:
        """Return scikit-learn's imputer."""
        from sklearn.impute import KNNImputer, SimpleImputer  # noqa: PLC0415 - with its kin

        given: dict[str, Any] = {"add_indicator": self.indicator, "keep_empty_features": True}
        if self.strategy == "knn":
            return KNNImputer(n_neighbors=self.neighbors, **given)
        if self.strategy == "iterative":
            from sklearn.experimental import enable_iterative_imputer  # noqa: F401, PLC0415
            from sklearn.impute import IterativeImputer  # noqa: PLC0415 - the line above opens it

            return IterativeImputer(random_state=context.seed, **given)
        missing = None if self._texts(context) else np.nan
        return SimpleImputer(
            missing_values=missing, strategy=self.strategy, fill_value=self.fill_value, **given
        )

    def _texts(self, context: Context) -> bool:
        """Whether it fills texts, whose gaps are None."""
        if isinstance(self.columns, str):
            return self.columns in ("categorical", "text")
        texts = {*context.schema.of_kind("categorical", "text")}
        return bool(self.columns) and all(name in texts for name in self.columns)


class Clip(Step):
    """Bring extreme values back to limits learned in training."""

    step: Literal["clip"] = "clip"
    columns: Columns = "numeric"
    method: Literal["quantile", "iqr", "fixed"] = Field(
        default="quantile",
        description="Limits are shares of the rows, interquartile ranges beyond the quartiles, "
        "or values",
    )
    lower: float | None = Field(default=None, description="Without both: 1 % or 1.5 ranges")
    upper: float | None = Field(default=None, description="With one of them: the other is open")

    @model_validator(mode="after")
    def _has_order(self) -> Self:
        limits = [each for each in (self.lower, self.upper) if each is not None]
        if self.method == "quantile" and not all(0 <= each <= 1 for each in limits):
            raise ValueError("with `quantile` the limits are shares between 0 and 1")
        if self.method == "iqr" and not all(each >= 0 for each in limits):
            raise ValueError("with `iqr` the limits are not negative; 1.5 is usual")
        if self.method == "fixed" and not limits:
            raise ValueError("with `fixed` give `lower`, `upper` or both")
        if self.method != "iqr" and limits != sorted(limits):
            raise ValueError("`lower` is greater than `upper`")
        return self

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the clipper."""
        limits = (self.lower, self.upper)
        if limits == (None, None):
            limits = (0.01, 0.99) if self.method == "quantile" else (1.5, 1.5)
        return Clipper(self.method, *limits)


class DropColumns(Step):
    """Leave out columns."""

    step: Literal["drop_columns"] = "drop_columns"
    columns: Columns

    wide: ClassVar[bool] = True

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the word for it."""
        return "drop"


class DropConstant(Step):
    """Leave out columns of numbers whose variance is not above a threshold."""

    step: Literal["drop_constant"] = "drop_constant"
    columns: Columns = "numeric"
    threshold: float = Field(
        default=0.0, ge=0, description="Variance, in the columns' unit squared"
    )

    wide: ClassVar[bool] = True

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return scikit-learn's selector."""
        from sklearn.feature_selection import VarianceThreshold  # noqa: PLC0415 - with its kin

        return VarianceThreshold(self.threshold)
