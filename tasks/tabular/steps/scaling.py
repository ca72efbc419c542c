"""Steps that bring numbers to one scale or into bins."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tasks.tabular.steps.base import Columns, Context, Step
from tasks.tabular.transformers.numbers import Scaler, ScalingMethod


class Scale(Step):
    """Bring columns to one scale; sparse ones stay sparse, because they are not centred."""

    step: Literal["scale"] = "scale"
    columns: Columns = "numeric"
    method: ScalingMethod = "standard"

    @property
    def wide(self) -> bool:
        """Whether it reads sparse columns."""
        return self.method != "power"

    def build(self, context: Context) -> Any:
        """Return the scaler."""
        return Scaler(self.method, context.seed)


class Bin(Step):
    """Cut columns into bins and put the bin's number in their place."""

    step: Literal["bin"] = "bin"
    columns: Columns = "numeric"
    strategy: Literal["uniform", "quantile", "kmeans", "tree"] = Field(
        default="quantile",
        description="Equal widths, equal counts, clusters, or the splits of a decision tree",
    )
    bins: int = Field(default=5, ge=2, le=1_000, description="At most, per column")

    def build(self, context: Context) -> Any:
        """Return scikit-learn's discretizer, or feature-engine's for trees."""
        if self.strategy == "tree":
            return self._tree(context)
        from sklearn.preprocessing import KBinsDiscretizer  # noqa: PLC0415 - with its kin

        return KBinsDiscretizer(
            self.bins,
            encode="ordinal",
            strategy=self.strategy,
            quantile_method="linear",
            random_state=context.seed,
        )

    def _tree(self, context: Context) -> Any:
        from feature_engine.discretisation import DecisionTreeDiscretiser  # noqa: PLC0415 - here

        if context.problem is None:
            raise ValueError("bins of a tree need a target; name one, or use another strategy")
        regression = context.problem.kind == "regression"
        return DecisionTreeDiscretiser(
            bin_output="bin_number",
            scoring="neg_mean_squared_error" if regression else "neg_log_loss",
            regression=regression,
            param_grid={"max_leaf_nodes": sorted({2, max(2, self.bins // 2), self.bins})},
            random_state=context.seed,
        )
