"""Steps that fill, limit and leave out columns."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tasks.tabular.steps.base import Columns, Context, Step
from tasks.tabular.transformers.filling import Filler, Strategy
from tasks.tabular.transformers.numbers import Clipper


class Impute(Step):
    """Fill missing values; `indicator` adds a column that says where."""

    step: Literal["impute"] = "impute"
    columns: Columns = "numeric"
    strategy: Strategy = "median"
    fill_value: float | str | None = Field(default=None, description="With strategy `constant`")
    indicator: bool = Field(default=False, description="Add a column per column with gaps")
    neighbors: int = Field(default=5, ge=1, description="With strategy `knn`")

    @model_validator(mode="after")
    def _has_value(self) -> Self:
        if (self.strategy == "constant") != (self.fill_value is not None):
            raise ValueError("`fill_value` belongs to the strategy `constant`, and it needs one")
        return self

    def build(self, context: Context) -> Any:
        """Return the filler."""
        return Filler(
            self.strategy,
            self.fill_value,
            indicator=self.indicator,
            neighbors=self.neighbors,
            random_state=context.seed,
        )


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

    @property
    def wide(self) -> bool:
        """Whether it reads sparse columns."""
        return True

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

    @property
    def wide(self) -> bool:
        """Whether it reads sparse columns."""
        return True

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return scikit-learn's selector."""
        from sklearn.feature_selection import VarianceThreshold  # noqa: PLC0415 - with its kin

        return VarianceThreshold(self.threshold)
