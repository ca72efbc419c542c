"""What a search found, as a table to read and to keep."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.tabular.metrics import evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tasks.tabular.metrics import Metric
    from tasks.tabular.task import Candidate
    from tasks.tabular.zoo.entry import Params

RESAMPLES = 120
"""Of the rows; the ends of a 95 % interval are then known to a tenth of its width."""

ROWS = 4_000
"""Rows that are resampled, at most."""

SECONDS = 10.0
"""After which no more candidates get an interval: some metrics of many classes take long."""

LEAST_FOLDS = 2
"""Folds from which a mean is one."""

COMPARED = 40
"""Candidates that get an interval, from the best down."""

Grade = Literal["", "A", "B", "C", "D"]
"""Whether a fit is repeated in a fresh process, see `reproducibility`."""


@dataclass(frozen=True, slots=True)
class EnsembleLine:
    """What was made of several candidates: its out-of-fold metric, and their weights."""

    name: str
    score: float
    weights: dict[str, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One candidate: its rank, mean validation metric with a 95 % interval, and its cost.

    `tied` says that the rows do not tell it from the best; `front` that none is both better and
    faster at scoring a row. Seconds are per set of folds, `row_seconds` per prepared row, `size`
    in bytes; `weight` is its share in the ensemble that is served.
    """

    rank: int
    learner: str
    score: float | None
    low: float | None
    high: float | None
    tied: bool
    front: bool
    folds: int
    fit_seconds: float
    predict_seconds: float
    row_seconds: float
    size: int
    weight: float
    origin: str
    balancing: str
    params: Params
    error: str
    number: int = -1
    grade: Grade = ""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All candidates, best first, and what was made of them; `metric` is greater-is-better."""

    metric: str
    lines: tuple[Line, ...]
    ensembles: tuple[EnsembleLine, ...] = ()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the lines as JSON-ready rows."""
        return [asdict(line) for line in self.lines]


def rank_key(candidate: Candidate) -> tuple[bool, float, int]:
    """Return what candidates are ranked by: those of one lucky fold come after those of several."""
    return len(candidate.fold_scores) < LEAST_FOLDS, -candidate.score, candidate.number


def rank(
    metric: Metric,
    candidates: Sequence[Candidate],
    y: NDArray[Any],
    *,
    seed: int = 0,
    ensembles: Sequence[EnsembleLine] = (),
) -> Leaderboard:
    """Rank candidates by their score; those that failed come last, saying why.

    Parameters
    ----------
    y : array, shape (n_rows,)
        Class codes, or the target's values, of the rows their out-of-fold scores are of.
    """
    ordered = sorted(candidates, key=rank_key)
    spans = _intervals(metric, ordered[:COMPARED], y, seed)
    front = _front(ordered)
    lines = []
    for place, each in enumerate(ordered, 1):
        low, high, tied = spans.get(each.number, (None, None, False))
        lines.append(
            Line(
                rank=place,
                learner=each.learner,
                score=each.score if each.fold_scores else None,
                low=low,
                high=high,
                tied=tied,
                front=each.number in front,
                folds=len(each.fold_scores),
                fit_seconds=round(each.fit_seconds, 3),
                predict_seconds=round(each.predict_seconds, 3),
                row_seconds=each.row_seconds,
                size=each.size,
                weight=round(each.weight, 4),
                origin=each.origin,
                balancing=each.balancing.method if each.balancing is not None else "none",
                params=each.params,
                error=each.error,
                number=each.number,
            )
        )
    return Leaderboard(metric.name, tuple(lines), tuple(ensembles))


def _intervals(
    metric: Metric, candidates: Sequence[Candidate], y: NDArray[Any], seed: int
) -> dict[int, tuple[float, float, bool]]:
    """Return, by candidate, the interval of its score and whether the best may be no better.

    Rows are resampled once for all candidates, so that the difference of two is as sure as it
    is. Only rows that a candidate and the best were both judged on are compared.
    """
    scored = [each for each in candidates if each.scores is not None and each.fold_scores]
    if not scored:
        return {}
    best = scored[0]
    rng = np.random.default_rng(seed)
    found: dict[int, tuple[float, float, bool]] = {}
    end = time.monotonic() + SECONDS
    for each in scored:
        if time.monotonic() > end:
            break
        known = _known(each) & _known(best)
        if not known.any():
            continue
        rows = np.flatnonzero(known)
        rows = rng.choice(rows, ROWS, replace=False) if len(rows) > ROWS else rows
        mine, theirs = _resampled(metric, y[rows], (_of(each)[rows], _of(best)[rows]), seed)
        if not len(mine):
            continue
        spread = np.quantile(mine, [0.025, 0.975]) - np.mean(mine)
        spread *= np.sqrt(len(rows) / known.sum())  # what the rows left out would have told
        gap = np.quantile(theirs - mine, 0.025)
        low, high = (each.score + spread).tolist()
        found[each.number] = (low, high, bool(each is best or gap <= 0))
    return found


def _resampled(
    metric: Metric, y: NDArray[Any], scores: tuple[NDArray[Any], NDArray[Any]], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score both on the same resamples; those that lack a class say nothing and are left out."""
    rng = np.random.default_rng(seed)
    pairs = []
    classes = len(np.unique(y)) if scores[0].ndim > 1 else 0
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(y), len(y))
        if classes and len(np.unique(y[rows])) < classes:
            continue
        pairs.append([evaluate(metric, y[rows], each[rows]) for each in scores])
    found = np.asarray(pairs, dtype=float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _of(candidate: Candidate) -> NDArray[np.float64]:
    assert candidate.scores is not None  # noqa: S101 - the callers have looked
    return candidate.scores


def _known(candidate: Candidate) -> NDArray[np.bool_]:
    scores = _of(candidate)
    known: NDArray[np.bool_] = ~np.isnan(scores if scores.ndim == 1 else scores[:, 0])
    return known


def _front(candidates: Sequence[Candidate]) -> set[int]:
    """Return the candidates that no other beats in score and in time per row."""
    front, fastest = set(), np.inf
    ranked = sorted(candidates, key=lambda each: (-each.score, each.row_seconds))
    for each in ranked:
        if each.fold_scores and each.row_seconds < fastest:
            front.add(each.number)
            fastest = each.row_seconds
    return front
