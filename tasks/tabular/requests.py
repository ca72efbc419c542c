"""What a training is asked for, as it comes from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from tasks.tabular.allowed import EstimatorSpec
from tasks.tabular.learners import LearnerName, learner_name
from tasks.tabular.metrics import MetricName, canonical
from tasks.tabular.problem import Said
from tasks.tabular.resampling import Method
from tasks.tabular.spaces import Spaces
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import SplitPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping


def _metric(name: object) -> object:
    """Read a metric by any of its names; an empty text is the usual one."""
    return (canonical(name) if name else None) if isinstance(name, str) else name


def _learner(name: object) -> object:
    return learner_name(name) if isinstance(name, str) else name


class SearchRequest(BaseModel, frozen=True, extra="forbid"):
    """What to learn, how to look for it and how long: all of a training that needs no platform."""

    target: str = Field(title="Target", description="Column to predict")
    budget_seconds: float = Field(
        default=60.0, ge=1, le=86_400, title="Search budget (seconds)", description="Wall clock"
    )
    problem: Said = Field(
        default="auto",
        title="Problem",
        description="Whether the target holds classes or a quantity; auto: as its values look",
    )
    metric: Annotated[MetricName | None, BeforeValidator(_metric)] = Field(
        default=None,
        title="Metric",
        description="scikit-learn's name, or a usual short one; the problem's usual if empty",
    )
    learners: tuple[Annotated[LearnerName, BeforeValidator(_learner)], ...] = Field(
        default=(), title="Learners", description="Only these; the portfolio's if empty"
    )
    preparation: PipelineSpec | None = Field(
        default=None,
        title="Preparation",
        description="Steps from raw columns to features; the learner's usual if empty",
    )
    split: SplitPolicy = Field(
        default=SplitPolicy(), title="Split", description="Which rows judge the model"
    )
    folds: int = Field(
        default=0, ge=0, le=20, title="Folds", description="Of the cross-validation; 0: by size"
    )
    balancing: Literal["auto"] | Method = Field(
        default="auto",
        title="Rare classes",
        description="Tried in cross-validation and used only where it beats doing nothing; "
        "auto tries the usual where a class is rare and the metric can gain",
    )
    balance_always: bool = Field(
        default=False,
        title="Balance always",
        description="Fit every candidate on rows balanced as said above, without asking whether "
        "it helps",
    )
    strategy: Literal["portfolio", "optuna", "random", "grid"] = Field(
        default="portfolio",
        title="Strategy",
        description="Portfolio: what does well on many tables, then Optuna; optuna and random "
        "start from defaults; grid tries every combination given below",
    )
    trials: int = Field(
        default=0,
        ge=0,
        le=10_000,
        title="Trials",
        description="Stop after so many configurations and be repeatable to the byte; 0: when "
        "the time is up",
    )
    grid: dict[str, dict[str, list[str | int | float | bool | None]]] = Field(
        default={},
        title="Grid",
        description='Values by parameter by learner: {"lightgbm": {"learning_rate": [0.05, 0.1]}}',
    )
    spaces: Spaces = Field(
        default={},
        title="Search spaces",
        description="By parameter by learner, for the strategies optuna and random: "
        '{"lightgbm": {"num_leaves": {"type": "int", "default": 31, "range": [7, 127]}}}',
    )
    estimator: EstimatorSpec | None = Field(
        default=None,
        title="Estimator",
        description="One estimator by its import path and parameters, fitted as it is",
    )
    ensemble: bool = Field(
        default=True, title="Ensemble", description="Mix the best where that is better"
    )
    select: int = Field(
        default=0,
        ge=0,
        le=50,
        title="Select",
        description="Best candidates that are mixed and stacked; 0: as many as help",
    )
    deploy: Literal["accurate", "fast"] = Field(
        default="accurate",
        title="Deploy",
        description="Accurate: the best ensemble; fast: the best single model, fitted on all "
        "training rows",
    )
    row_milliseconds: float = Field(
        default=0.0,
        ge=0,
        le=3_600_000,
        title="Milliseconds per row",
        description="What is served may take no longer for one row; 0: any time",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1_024,
        title="Threads",
        description="All fits together use no more; 0, or more than there are: the machine's share",
    )
    finalize: bool = Field(
        default=False,
        title="Finalize",
        description="Fit what was chosen once more on all rows, the holdout's too; the figures "
        "stay those of the holdout",
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=0, title="Seed", description="Same seed, data and libraries: same split and models"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.strategy == "grid") != bool(self.grid):
            raise ValueError("a `grid` belongs to the strategy grid, and to no other")
        if self.estimator is not None and (self.learners or self.strategy in ("grid", "random")):
            raise ValueError(
                "an `estimator` is the only learner: leave `learners` and `strategy` out"
            )
        if self.folds == 1:
            raise ValueError("one fold validates nothing: `folds` is 0 or at least 2")
        if self.spaces and self.strategy not in ("optuna", "random"):
            raise ValueError("`spaces` belong to the strategies optuna and random")
        self._check_names("grid", self.grid)
        self._check_names("spaces", self.spaces)
        if not all(self.spaces.values()):
            raise ValueError("every learner of `spaces` needs parameters")
        if self.balance_always and self.balancing in ("auto", "none"):
            raise ValueError("to balance always, say how: name a method of `balancing`")
        if self.strategy == "random" and not self.trials:
            raise ValueError("the strategy random needs a number of `trials`")
        return self

    def _check_names(self, field: str, given: Mapping[str, Mapping[str, object]]) -> None:
        named = [learner_name(name) for name in given]
        if len(set(named)) < len(named):
            raise ValueError(f"a learner is in `{field}` twice, by two of its names")
        if self.learners and set(named) - set(self.learners):
            raise ValueError(f"`{field}` has a learner that `learners` has not")
        if any(not all(values.values()) for values in given.values()):
            raise ValueError(f"every parameter of `{field}` needs values")

    def canonical_grid(self) -> dict[str, dict[str, list[Any]]]:
        """Return the grid by the learners' own names."""
        return {learner_name(name): values for name, values in self.grid.items()}

    def canonical_spaces(self) -> Spaces:
        """Return the search spaces by the learners' own names."""
        return {learner_name(name): values for name, values in self.spaces.items()}
