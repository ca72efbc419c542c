"""Steps that leave fewer columns."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from sklearn import ensemble
from sklearn import feature_selection as fs

from tasks.tabular.steps.base import Columns, Context, Step
from tasks.tabular.transformers.reduction import (
    AtMost,
    Projection,
    PruneCollinear,
    PruneCorrelated,
)


class Pca(Step):
    """Principal components in the columns' place; of sparse columns a truncated SVD."""

    step: Literal["pca"] = "pca"
    columns: Columns = "numeric"
    components: int | float = Field(
        default=0.95, gt=0, description="How many, or, below 1, the share of variance to keep"
    )

    joint: ClassVar[bool] = True

    @property
    def wide(self) -> bool:
        """Whether it reads sparse columns."""
        return True

    @field_validator("components")
    @classmethod
    def _whole(cls, components: float) -> float:
        if components >= 1 and components != int(components):
            raise ValueError("it is a share below 1 or a whole number")
        return int(components) if components >= 1 else components

    def build(self, context: Context) -> Any:
        """Return the projection."""
        return Projection(self.components, context.seed)


class DropCorrelated(Step):
    """Of columns that correlate beyond a threshold keep the one that says most of the target."""

    step: Literal["drop_correlated"] = "drop_correlated"
    columns: Columns = "numeric"
    threshold: float = Field(default=0.9, gt=0, lt=1, description="Absolute correlation")

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the pruner."""
        return PruneCorrelated(self.threshold)


class DropCollinear(Step):
    """Leave out, one by one, the columns that the others explain best."""

    step: Literal["drop_collinear"] = "drop_collinear"
    columns: Columns = "numeric"
    max_factor: float = Field(default=10.0, gt=1, description="Variance inflation factor")

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the pruner."""
        return PruneCollinear(self.max_factor)


class SelectFeatures(Step):
    """Keep the columns that say most of the target."""

    step: Literal["select"] = "select"
    columns: Columns = "numeric"
    method: Literal["f_test", "mutual_information", "forest"] = Field(
        default="mutual_information",
        description="A linear or a general measure per column, or importance in a forest",
    )
    features: int = Field(default=20, ge=1, description="How many stay")

    joint: ClassVar[bool] = True

    @property
    def wide(self) -> bool:
        """Whether it reads sparse columns."""
        return True

    def build(self, context: Context) -> Any:
        """Return scikit-learn's selector."""
        if context.problem is None:
            raise ValueError("it needs a target; name one, or use drop_constant or pca")
        regression = context.problem.kind == "regression"
        if self.method == "forest":
            kind = ensemble.ExtraTreesRegressor if regression else ensemble.ExtraTreesClassifier
            forest = kind(100, min_samples_leaf=3, random_state=context.seed)
            return fs.SelectFromModel(
                forest, threshold=-float("inf"), max_features=AtMost(self.features)
            )
        if self.method == "f_test":
            return fs.SelectKBest(fs.f_regression if regression else fs.f_classif, k=self.features)
        measure = fs.mutual_info_regression if regression else fs.mutual_info_classif
        return fs.SelectKBest(partial(measure, random_state=context.seed), k=self.features)
