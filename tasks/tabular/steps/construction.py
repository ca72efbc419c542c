"""Steps that make new columns from old ones, which stay."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tasks.tabular.steps.base import Columns, Context, Step
from tasks.tabular.transformers.columns import OnColumns
from tasks.tabular.transformers.expressions import columns_of, parse
from tasks.tabular.transformers.numbers import Cycles, Expressions, Function, Functions, Products


class Expression(Step):
    """New columns by formulas: `ratio: a / (b + 1)`; what has no finite value is missing."""

    step: Literal["expression"] = "expression"
    columns: tuple[()] = Field(default=(), description="Those the formulas name")
    formulas: dict[str, str] = Field(
        min_length=1,
        description="Name of the new column to its formula: numbers, columns, + - * / // % **, "
        'comparisons, `a if b else c`, abs, sqrt, exp, log, min, max and more; col("unit price")',
    )

    keeps: ClassVar[bool] = True

    @field_validator("formulas")
    @classmethod
    def _readable(cls, formulas: dict[str, str]) -> dict[str, str]:
        for formula in formulas.values():
            parse(formula)
        return formulas

    @property
    def named(self) -> tuple[str, ...]:
        """Columns the formulas name."""
        named = [name for each in self.formulas.values() for name in columns_of(parse(each))]
        return tuple(dict.fromkeys(named))

    def apply(self, context: Context, label: str) -> OnColumns:  # noqa: ARG002 - the base's
        """Return the formulas bound to the columns they name."""
        if not self.named:
            raise ValueError("no formula names a column")
        return OnColumns(
            Expressions(self.formulas), self.named, keep=True, overwrites=True, label=label
        )


class Polynomial(Step):
    """Powers and products of columns, named `a*b` and `a^2`."""

    step: Literal["polynomial"] = "polynomial"
    columns: Columns = "numeric"
    degree: int = Field(default=2, ge=2, le=5)
    interaction_only: bool = Field(default=False, description="No powers")
    max_features: int = Field(default=500, ge=1, le=10_000, description="More are refused")

    keeps: ClassVar[bool] = True
    joint: ClassVar[bool] = True

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the products."""
        return Products(
            self.degree, interaction_only=self.interaction_only, max_features=self.max_features
        )


class Trigonometry(Step):
    """Sine, cosine and tangent of columns, named `sin(x)`."""

    step: Literal["trigonometry"] = "trigonometry"
    columns: Columns = "numeric"
    functions: tuple[Function, ...] = Field(default=("sin", "cos", "tan"), min_length=1)

    keeps: ClassVar[bool] = True

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the functions."""
        return Functions(self.functions)


class Cyclical(Step):
    """Numbers that come round again, such as hours, as sine and cosine in their place."""

    step: Literal["cyclical"] = "cyclical"
    columns: Columns
    period: float = Field(gt=0, description="In the columns' unit: 24 for hours")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if isinstance(self.columns, str):
            raise ValueError("name the columns: not all numbers come round again")  # noqa: TRY004
        return self

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return sine and cosine."""
        return Cycles(self.period)
