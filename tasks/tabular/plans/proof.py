"""The proof that a plan answers as its model does, without which the plan does not serve."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from tasks.tabular.ensemble import EnsembleClassifier, EnsembleRegressor
from tasks.tabular.evidence import json_rows
from tasks.tabular.learners import FITTING_ERRORS, predict_scores
from tasks.tabular.plans.adversarial import Adversaries, adversaries, known_texts, wrong_types
from tasks.tabular.plans.learners import unwrapped
from tasks.tabular.rows import Reader, RowsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from tasks.tabular.plans.plan import Plan
    from tasks.tabular.problem import Problem

ADVERSARIES = 10_000
"""Adversarial rows of a proof."""

HOLDOUT = 10_000
"""Holdout rows of a proof, at most."""

ULPS = 64
"""Units in the last place of one, or of a larger score, that sums in another order may differ."""

CHUNK = 5_000
ALONE = 50
"""Rows that are also scored one by one, as most requests are."""

_BEYOND, _BEYOND_ROWS = 1e300, 20
"""Numbers so large that some learners refuse them, and how many rows hold some."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared: rows scored alike, wrong ones refused, and the largest difference.

    `unanswered` rows are those the model itself refuses. `reason` says why the plan must not
    serve; it is empty if it may.
    """

    rows: int
    refused: int
    unanswered: int
    difference: float
    exact: bool
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the plan may serve."""
        return not self.reason

    def to_json(self) -> dict[str, Any]:
        """Return the proof as JSON-ready values."""
        return asdict(self)


def prove(
    plan: Plan,
    model: Pipeline,
    problem: Problem,
    holdout: pd.DataFrame,
    *,
    count: int = ADVERSARIES,
    seed: int = 0,
) -> Proof:
    """Compare an opened plan with the fitted model on the holdout and on adversarial rows.

    Parameters
    ----------
    holdout : frame, shape (n_rows, n_columns)
        Raw rows; the first `HOLDOUT` count.
    count : int
        Adversarial rows.
    """
    holdout = holdout.head(HOLDOUT)
    known = json_rows(holdout[[column.name for column in plan.columns]])
    with _one_thread(model):
        trial = _Trial(plan, model, problem)
        trial.compare(Adversaries(known, holdout))
        trial.require_answers(len(known))
        trial.compare(adversaries(plan.columns, known, count, seed=seed))
        trial.compare(known_texts(plan.columns, known, plan.texts()))
        beyond = adversaries(plan.columns, known, _BEYOND_ROWS, seed=seed + 1, largest=_BEYOND)
        trial.compare(beyond)
        trial.compare_alone(adversaries(plan.columns, known, ALONE, seed=seed + 2))
        trial.refuse(known[0])
    return Proof(
        trial.rows, trial.refused, trial.unanswered, trial.difference, plan.exact, trial.reason
    )


class _Trial:
    """A comparison under way; the first thing that differs is its `reason`."""

    def __init__(self, plan: Plan, model: Pipeline, problem: Problem) -> None:
        self._plan, self._model, self._problem = plan, model, problem
        self._reader = Reader(plan.columns)
        self.rows = self.refused = self.unanswered = 0
        self.difference = 0.0
        self.reason = ""

    def compare(self, given: Adversaries) -> None:
        """Score rows both ways, chunk by chunk."""
        for start in range(0, len(given.sent), CHUNK):
            stop = start + CHUNK
            self._chunk(Adversaries(given.sent[start:stop], given.meant.iloc[start:stop]))

    def compare_alone(self, given: Adversaries) -> None:
        """Score rows both ways, one by one."""
        for place in range(len(given.sent)):
            self._chunk(Adversaries([given.sent[place]], given.meant.iloc[[place]]))

    def refuse(self, known: dict[str, Any]) -> None:
        """Send what must be refused."""
        for column, row in wrong_types(self._plan.columns, known):
            if self.reason:
                return
            try:
                self._reader.read(msgspec.json.encode({"rows": [row]}))
            except RowsError:
                self.refused += 1
            except FITTING_ERRORS as error:
                self.reason = f"{column}: a wrong value raises {type(error).__name__}: {error}"
            else:
                shown = repr(row.get(column, "no value"))[:60]
                self.reason = f"{column}: {shown} is taken for a value"

    def require_answers(self, known: int) -> None:
        """Find nothing proven where the model itself refuses most rows of the holdout."""
        if not self.reason and self.unanswered > known // 2:
            self.reason = f"the model itself refuses {self.unanswered} of {known} rows"

    def _chunk(self, given: Adversaries) -> None:
        if self.reason:
            return
        try:
            expected = self._expected(given.meant)
        except FITTING_ERRORS:  # some row is more than the model bears: without it, then
            self._halves(given)
            return
        try:
            batch = self._reader.read(msgspec.json.encode({"rows": given.sent}))
            scores = self._plan.scores(batch)
        except (RowsError, *FITTING_ERRORS) as error:
            self.reason = f"the plan fails where the model answers: {type(error).__name__}: {error}"
            return
        self.rows += len(given.sent)
        self._judge(scores, expected, given)

    def _halves(self, given: Adversaries) -> None:
        size = len(given.sent)
        if size == 1:
            self.unanswered += 1
            return
        for part in (slice(0, size // 2), slice(size // 2, size)):
            self._chunk(Adversaries(given.sent[part], given.meant.iloc[part]))

    def _expected(self, meant: pd.DataFrame) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):
            return predict_scores(self._model, meant, self._problem)

    def _judge(
        self, scores: NDArray[np.float64], expected: NDArray[np.float64], given: Adversaries
    ) -> None:
        if scores.shape != expected.shape:
            self.reason = f"{scores.shape} scores instead of {expected.shape}"
            return
        off = np.abs(scores - expected)
        off[(scores == expected) | (np.isnan(scores) & np.isnan(expected))] = 0.0
        self.difference = max(self.difference, float(off.max(initial=0.0)))
        allowed = np.zeros_like(off)
        if not self._plan.exact:
            allowed = ULPS * np.finfo(float).eps * np.fmax(1.0, np.abs(expected))
        wrong = ~(off <= allowed)
        if wrong.any():
            row = int(np.flatnonzero(wrong.reshape(len(off), -1).any(axis=1))[0])
            self.reason = f"scores differ by {off[row].max():.3g} for {repr(given.sent[row])[:300]}"


@contextmanager
def _one_thread(model: Pipeline) -> Iterator[None]:
    """Have forests add their trees in order: with threads the last bits are a matter of luck."""
    parallel = [each for each in _learners(model) if getattr(each, "n_jobs", None) not in (None, 1)]
    before = [each.n_jobs for each in parallel]
    for each in parallel:
        each.n_jobs = 1
    try:
        yield
    finally:
        for each, jobs in zip(parallel, before, strict=True):
            each.n_jobs = jobs


def _learners(model: Pipeline) -> list[Any]:
    last = model[-1]
    if isinstance(last, EnsembleClassifier | EnsembleRegressor):
        found = [member.estimator for member in last.members_]
    else:
        found = [last]
    return [unwrapped(each) for each in found]
