"""What a step of a preparation is: a name, columns and typed parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from tasks.tabular.transformers.blocks import Selector
from tasks.tabular.transformers.columns import OnColumns

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem
    from tasks.tabular.schema import Schema

Columns = Annotated[
    Selector | tuple[str, ...],
    Field(description="Names, or what they hold where the step stands", union_mode="left_to_right"),
]


@dataclass(frozen=True, slots=True)
class Context:
    """What a step may ask when it is built; `problem` is None where there is no target."""

    schema: Schema
    problem: Problem | None
    seed: int


class Step(BaseModel):
    """A step that changes columns: fitted in training, applied as fitted ever after.

    A step of your own is a subclass with a field `step: Literal["its_name"]` and a `build`,
    published under the entry point `millrace.steps`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    step: str
    columns: Columns = "all"
    without: tuple[str, ...] = Field(
        default=(), description="Columns to leave alone that `columns` would mean"
    )

    keeps: ClassVar[bool] = False
    """Whether the columns stay beside what is made of them."""

    joint: ClassVar[bool] = False
    """Whether it needs all its columns in one matrix."""

    @property
    def wide(self) -> bool:
        """Whether it reads sparse columns."""
        return False

    @property
    def named(self) -> tuple[str, ...]:
        """Columns it calls by name."""
        return () if isinstance(self.columns, str) else self.columns

    def build(self, context: Context) -> Any:
        """Return the unfitted transformer, with scikit-learn's interface."""
        raise NotImplementedError

    def apply(self, context: Context, label: str) -> OnColumns:
        """Return the transformer bound to the step's columns."""
        return OnColumns(
            self.build(context),
            self.columns,
            keep=self.keeps,
            joint=self.joint,
            wide=self.wide,
            more_than=getattr(self, "more_than", 0),
            without=self.without,
            label=label,
        )


class RowStep(BaseModel):
    """A step that leaves out rows when a model is fitted, and never when it predicts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    step: str
    columns: tuple[str, ...] = Field(default=(), description="Columns looked at; all if empty")

    def kept(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows stay, shape (n_rows,)."""
        raise NotImplementedError


AnyStep = Step | RowStep


def name_of(step: type[AnyStep]) -> str:
    """Return the name a step goes by in specifications."""
    (name,) = step.model_fields["step"].annotation.__args__  # type: ignore[union-attr]
    return str(name)
