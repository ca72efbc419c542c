"""Operations of plans that score: the counterparts of fitted learners and of their mixes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.plans.native import LightGBMTrees, XGBoostTrees
from tasks.tabular.plans.preparing import Held, Light

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tasks.tabular.plans.plan import Registers

NOTHING = 1e-35
"""Greatest magnitude that LightGBM reads as zero."""


@dataclass
class LightGBM:
    """Trees in LightGBM's library: its own boosters, and forests written in its format.

    `link` says what becomes of what it answers: "values" as they are, "second" the probability
    of the second of two classes, "mean" sums over `trees` trees, "logit" log-odds, "softmax"
    one margin per class.
    """

    source: int
    text: str
    features: int
    outputs: int
    link: str
    raw: bool
    trees: int = 1
    single_precision: bool = False
    opened: LightGBMTrees | None = field(default=None, repr=False, compare=False)

    @property
    def needs(self) -> tuple[str, ...]:
        """Its shared library."""
        return ("lightgbm",)

    def __getstate__(self) -> dict[str, Any]:
        """Store all but the handle."""
        return {**self.__dict__, "opened": None}

    def open(self, threads: int) -> None:
        """Load the trees."""
        self.opened = LightGBMTrees(
            self.text, self.features, self.outputs, raw=self.raw, threads=threads
        )

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Walk the trees."""
        assert self.opened is not None  # noqa: S101 - a plan is opened before it scores
        rows = registers[self.source]
        if self.single_precision:
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32).astype(np.float64)
        if self.raw:  # LightGBM takes for zero what is nearly nothing, and other trees do not
            nearly = (rows != 0) & (np.abs(rows) <= NOTHING)
            if nearly.any():
                rows = np.where(nearly, np.copysign(1.1 * NOTHING, rows), rows)
        return linked(self.opened.predict(rows), self.link, self.trees)


def linked(answers: NDArray[np.float64], link: str, trees: int) -> NDArray[np.float64]:
    """Turn what trees answer into scores, shape (n_rows, n_classes) or (n_rows,)."""
    if link == "second":
        second = answers[:, 0]
        return np.vstack((1.0 - second, second)).transpose()
    if link == "mean":
        means: NDArray[np.float64] = answers / trees
        return means[:, 0] if means.shape[1] == 1 else means
    if link == "logit":
        return both(expit(answers[:, 0]))
    if link == "softmax":
        return softmax(answers)
    return answers[:, 0] if answers.shape[1] == 1 else answers


@dataclass
class XGBoost:
    """A booster in XGBoost's library; `outputs` is 1 for values and for two classes."""

    source: int
    content: bytes
    outputs: int
    iterations: tuple[int, int]
    classes: int
    opened: XGBoostTrees | None = field(default=None, repr=False, compare=False)

    @property
    def needs(self) -> tuple[str, ...]:
        """Its shared library."""
        return ("xgboost",)

    def __getstate__(self) -> dict[str, Any]:
        """Store all but the handle."""
        return {**self.__dict__, "opened": None}

    def open(self, threads: int) -> None:
        """Load the booster."""
        self.opened = XGBoostTrees(self.content, self.outputs, self.iterations, threads=threads)

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Walk the trees; what XGBoost computes in float32 stays so."""
        assert self.opened is not None  # noqa: S101 - a plan is opened before it scores
        answers = self.opened.predict(registers[self.source])
        if self.classes == 0:
            return answers[:, 0].astype(np.float64)
        if self.outputs == 1:
            second = answers[:, 0]
            answers = np.vstack((np.float32(1.0) - second, second)).transpose()
        return answers.astype(np.float64)


@dataclass(frozen=True)
class Linear(Light):
    """Weighted sums of columns; `link` is "values", "expit" (two classes) or "softmax"."""

    source: int
    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    link: str

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Multiply and add."""
        sums: NDArray[np.float64] = registers[self.source] @ self.weights + self.intercept
        if self.link == "expit":
            return both(expit(sums[:, 0]))
        if self.link == "softmax":
            return softmax(sums)
        if self.link == "shares":  # one against the rest, brought to a sum of one
            shares = expit(sums)
            total = shares.sum(axis=1, keepdims=True)
            return np.where(total > 0, shares / np.where(total > 0, total, 1.0), 1 / sums.shape[1])
        return sums[:, 0]


@dataclass(frozen=True)
class Additive(Light):
    """A sum of looked-up terms, as an explainable boosting machine has it.

    `binnings` are by feature and level: cuts of a number, or bins by the code of a category.
    `terms` are pairs of the binnings a term looks at and its scores, one axis for each and, for
    several classes, one for the classes.
    """

    source: int
    binnings: tuple[tuple[int, NDArray[np.float64] | None, NDArray[np.int64] | None], ...]
    terms: tuple[tuple[tuple[int, ...], NDArray[np.float64]], ...]
    intercept: NDArray[np.float64]
    link: str

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:
        """Find every feature's bin and add what the terms say of it."""
        features = registers[self.source]
        bins = [_binned(features[:, at], cuts, codes) for at, cuts, codes in self.binnings]
        sums = np.full((size, *self.intercept.shape), self.intercept)
        for places, scores in self.terms:
            sums += scores[tuple(bins[place] for place in places)]
        if self.link == "expit":
            return both(expit(sums))
        return softmax(sums) if self.link == "softmax" else sums


def _binned(
    values: NDArray[np.float64],
    cuts: NDArray[np.float64] | None,
    codes: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """Return bins: 0 for gaps, then those between the cuts, or what codes stand for."""
    if cuts is None:
        assert codes is not None  # noqa: S101 - a feature has cuts or codes
        return codes[values.astype(np.int64)]
    found = np.searchsorted(cuts, values, side="right") + 1
    return np.where(np.isnan(values), 0, found)


@dataclass(frozen=True)
class Unscaled(Light):
    """Values of unit spread brought back to the target's."""

    source: int
    scale: float
    mean: float

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Multiply and add."""
        values: NDArray[np.float64] = registers[self.source] * self.scale
        values += self.mean
        return values


@dataclass(frozen=True)
class Estimated(Held):
    """What a fitted estimator answers: the object itself, on arrays.

    `categories` are, for learners that read them natively, the names of the codes by column:
    they are given a list of rows with texts in those places.
    """

    source: int
    estimator: Any
    classifies: bool
    packages: tuple[str, ...]
    categories: tuple[tuple[int, tuple[str, ...]], ...] = ()

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:
        """Ask it."""
        rows = registers[self.source]
        if self.categories:
            rows = rows.astype(object)
            for place, names in self.categories:
                rows[:, place] = [names[int(code)] for code in rows[:, place]]
        if self.classifies:
            return np.asarray(self.estimator.predict_proba(rows), dtype=float)
        return np.asarray(self.estimator.predict(rows), dtype=float).reshape(size)


@dataclass(frozen=True)
class Spread(Light):
    """Scores of some classes in the places of all."""

    source: int
    places: NDArray[np.intp]
    classes: int

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:
        """Put them there; a class that was not fitted on has the probability 0."""
        made = np.zeros((size, self.classes))
        made[:, self.places] = registers[self.source]
        return made


@dataclass(frozen=True)
class Mixed(Light):
    """The weighted sum of what members answer, candidate by candidate, as ensembles have it.

    `candidates` hold pairs of a register and a weight each.
    """

    candidates: tuple[tuple[tuple[int, float], ...], ...]
    classes: int

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Add in the order of the ensemble: sums of floats depend on it."""
        found = [_sum(registers, members) for members in self.candidates]
        total = np.asarray(sum(found))
        return normalised(total) if self.classes else total


@dataclass(frozen=True)
class Stacked(Held):
    """What a stacker makes of the candidates' means."""

    candidates: tuple[tuple[tuple[int, float], ...], ...]
    stacker: Any
    classes: int
    packages: tuple[str, ...]

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Divide by the candidates' weights and ask the stacker."""
        means = []
        for members in self.candidates:
            weight = 0.0
            for _, share in members:
                weight += share
            means.append(_sum(registers, members) / weight)
        found: NDArray[np.float64] = self.stacker.apply(means)
        return normalised(found) if self.classes else found


@dataclass(frozen=True)
class Calibrated(Light):
    """Probabilities corrected by a temperature, a sigmoid or a rising line."""

    source: int
    calibration: Any

    @property
    def needs(self) -> tuple[str, ...]:
        """SciPy, whose functions it was fitted with."""
        return ("scipy",)

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Correct."""
        found: NDArray[np.float64] = self.calibration.apply(registers[self.source])
        return found


def _sum(registers: Registers, members: Sequence[tuple[int, float]]) -> NDArray[np.float64]:
    total: Any = None
    for register, weight in members:
        scores = weight * registers[register]
        total = scores if total is None else total + scores
    return np.asarray(total)


def normalised(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring rows to a sum of one, as ensembles do."""
    total = scores.sum(axis=1, keepdims=True)
    return np.asarray(scores / np.where(total > 0, total, 1.0))


def both(second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of two classes from the second's."""
    return np.stack([1 - second, second], axis=1)


def expit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logistic function of values."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-values)))


def softmax(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn margins into probabilities, row by row."""
    raised = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
