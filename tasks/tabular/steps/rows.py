"""Steps that leave out rows, in training only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from tasks.tabular.errors import StepError, suggest
from tasks.tabular.steps.base import RowStep

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


class DropNulls(RowStep):
    """Leave out rows with missing values, as `pandas.DataFrame.dropna` does."""

    step: Literal["drop_nulls"] = "drop_nulls"
    how: Literal["any", "all"] = Field(default="any", description="Rows with any, or only, gaps")
    thresh: int | None = Field(default=None, ge=1, description="Values a row must have to stay")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.thresh is not None and self.how != "any":
            raise ValueError("give `how` or `thresh`, not both")
        return self

    def kept(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows stay."""
        present = _looked_at(rows, self.columns, self.step).notna()
        if self.thresh is not None:
            return (present.sum(axis=1) >= self.thresh).to_numpy()
        return (present.any(axis=1) if self.how == "all" else present.all(axis=1)).to_numpy()


class DropDuplicates(RowStep):
    """Leave out rows that repeat others, as `pandas.DataFrame.drop_duplicates` does."""

    step: Literal["drop_duplicates"] = "drop_duplicates"
    keep: Literal["first", "last", "none"] = Field(default="first", description="Which one stays")

    def kept(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows stay."""
        keep = False if self.keep == "none" else self.keep
        looked_at = _looked_at(rows, self.columns, self.step)
        return (~looked_at.duplicated(keep=keep)).to_numpy()


def _looked_at(rows: pd.DataFrame, columns: tuple[str, ...], step: str) -> pd.DataFrame:
    absent = tuple(name for name in columns if name not in rows.columns)
    if absent:
        known = tuple(map(str, rows.columns))
        raise StepError(step, absent, f"there is no such column; {suggest(absent[0], known)}")
    return rows[list(columns)] if columns else rows
