"""Steps that turn categories into numbers; every one meets unseen categories at serving."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from tasks.tabular.steps.base import Columns, Context, Step
from tasks.tabular.transformers.categories import (
    HashedCategories,
    NativeCategories,
    OrdinalCategories,
    named_category,
)

MoreThan = Field(default=0, ge=0, description="Only columns with more different values than this")


class OneHot(Step):
    """A sparse indicator per category, named `column=category`; rare ones share one."""

    step: Literal["one_hot"] = "one_hot"
    columns: Columns = "categorical"
    max_categories: int = Field(default=50, ge=2, description="Per column")
    min_frequency: int = Field(default=1, ge=1, description="Rows a category needs for its own")

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return scikit-learn's encoder."""
        return OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=self.max_categories,
            min_frequency=self.min_frequency,
            feature_name_combiner=named_category,
        )


class Ordinal(Step):
    """A code per category, in the order of the texts; unseen ones are -1, gaps stay gaps."""

    step: Literal["ordinal"] = "ordinal"
    columns: Columns = "categorical"
    max_categories: int = Field(default=50, ge=2, description="Per column; rarer ones share one")

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return scikit-learn's encoder, to which gaps are gaps."""
        return OrdinalCategories(
            handle_unknown="use_encoded_value",
            unknown_value=-1,
            max_categories=self.max_categories,
        )


class TargetEncode(Step):
    """The mean of the target over a category, shrunk to the overall mean.

    What the rows fitted on get was computed without their own fold, so that a category does
    not give away the target of its rows.
    """

    step: Literal["target_encode"] = "target_encode"
    columns: Columns = "categorical"
    smooth: Literal["auto"] | float = Field(
        default="auto", description="Rows of overall mean that every category gets"
    )
    folds: int = Field(default=5, ge=2, le=20, description="Of the cross-fitting")
    more_than: int = MoreThan

    def build(self, context: Context) -> Any:
        """Return scikit-learn's encoder."""
        problem = context.problem
        if problem is None:
            raise ValueError("it needs a target; name one, or use count_encode or hash_encode")
        continuous = problem.kind == "regression"
        splitter = KFold if continuous else StratifiedKFold
        return TargetEncoder(
            target_type="continuous" if continuous else problem.kind,
            smooth=self.smooth,
            cv=splitter(self.folds, shuffle=True, random_state=context.seed),
        )


class CountEncode(Step):
    """How many rows fitted on had the category, or which share; unseen ones are 0."""

    step: Literal["count_encode"] = "count_encode"
    columns: Columns = "categorical"
    method: Literal["count", "frequency"] = "count"
    more_than: int = MoreThan

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return feature-engine's encoder."""
        from feature_engine.encoding import CountFrequencyEncoder  # noqa: PLC0415 - only here

        return CountFrequencyEncoder(
            encoding_method=self.method, missing_values="ignore", unseen="encode"
        )


class HashEncode(Step):
    """A fixed number of sparse columns that all categories fall on by their hash."""

    step: Literal["hash_encode"] = "hash_encode"
    columns: Columns = "categorical"
    features: int = Field(default=256, ge=2, le=2**20, description="Columns")
    more_than: int = MoreThan

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the hashing encoder."""
        return HashedCategories(self.features)


class Category(Step):
    """Categories as they are, for learners that read them natively."""

    step: Literal["category"] = "category"
    columns: Columns = "categorical"
    max_categories: int = Field(default=254, ge=1, description="Per column; rarer ones share one")

    def build(self, context: Context) -> Any:  # noqa: ARG002 - not needed
        """Return the marker."""
        return NativeCategories(self.max_categories)
