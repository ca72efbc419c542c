"""Which candidates make an ensemble: greedy selection on out-of-fold scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.tabular.metrics import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tasks.tabular.metrics import Metric
    from tasks.tabular.task import Task, Trial

ROUNDS = 40
"""Steps of the greedy selection; a candidate's weight is its share of them."""

POOL = 18
"""Best candidates that are looked at; those far behind only fit the noise of the folds."""

ROWS = 20_000
"""Rows that are looked at: more change no choice and cost time."""

BAGS = 10
"""Selections on resampled rows that are averaged where rows are few: one alone fits their noise."""

WORK = 6e7
"""Scores that are looked at in one selection, about: a second or two. It is counted and not timed,
so that two runs choose alike."""

BAGGED_ROWS = 10_000

LEAST_WEIGHT = 0.02


@dataclass(frozen=True, slots=True)
class Blend:
    """Weights by candidate, which sum to 1, and the metric of the weighted scores."""

    weights: dict[int, float]
    score: float


def mixed(
    scores: Mapping[int, NDArray[np.float64]], weights: Mapping[int, float]
) -> NDArray[np.float64]:
    """Return the weighted mean of scores."""
    total: NDArray[np.float64] = sum(weight * scores[each] for each, weight in weights.items())  # type: ignore[assignment]
    return total


def equal(numbers: Sequence[int]) -> dict[int, float]:
    """Weigh all alike."""
    return {number: 1 / len(numbers) for number in numbers}


def greedy(
    metric: Metric,
    y: NDArray[np.float64],
    scores: Mapping[int, NDArray[np.float64]],
    *,
    seed: int = 0,
) -> Blend:
    """Weigh candidates by adding, step by step, the one that improves the mean most [1]_.

    Parameters
    ----------
    y : array, shape (n_rows,)
        Class codes, or values.
    scores : mapping of int to array
        Out-of-fold scores by candidate, on the same rows.

    References
    ----------
    .. [1] Caruana et al. (2004), "Ensemble selection from libraries of models", ICML.
    """
    rng = np.random.default_rng(seed)
    shape = next(iter(scores.values())).shape
    cells = (shape[1] if len(shape) > 1 else 1) * _cost(metric, shape)
    steps = ROUNDS // 2 * min(POOL, len(scores))
    rows = _sampled(len(y), int(np.clip(WORK / (steps * cells), 300, ROWS)), rng)
    y = y[rows]
    given = {number: values[rows] for number, values in scores.items()}
    alone = {number: evaluate(metric, y, values) for number, values in given.items()}
    sound = {number: score for number, score in alone.items() if np.isfinite(score)} or alone
    ranked = sorted(sound, key=lambda number: (-sound[number], number))[:POOL]
    pool = {each: given[each] for each in ranked}
    weights: dict[int, float] = {}
    bags = int(np.clip(WORK / (steps * cells * len(y)), 1, BAGS))
    for sample in _samples(y, rng, bags, classes=len(shape) > 1):
        found = {each: values[sample] for each, values in pool.items()}
        chosen = _steps(
            metric, y[sample], found, ROUNDS if len(sample) > BAGGED_ROWS else ROUNDS // 2
        )
        for number in chosen:
            weights[number] = weights.get(number, 0.0) + 1 / len(chosen)
    weights = _pruned(weights)
    return Blend(weights, evaluate(metric, y, mixed(given, weights)))


def _steps(
    metric: Metric, y: NDArray[np.float64], scores: Mapping[int, NDArray[np.float64]], steps: int
) -> list[int]:
    """Return the candidates chosen, as often as each was, up to the best point of the way."""
    chosen: list[int] = []
    total: NDArray[np.float64] | None = None
    best, best_length = -np.inf, 1
    for length in range(1, steps + 1):
        tried = {
            number: evaluate(metric, y, values if total is None else (total + values) / length)
            for number, values in scores.items()
        }
        number = max(tried, key=lambda each: (tried[each], -each))
        chosen.append(number)
        total = scores[number] if total is None else total + scores[number]
        if tried[number] > best:
            best, best_length = tried[number], length
        elif length - best_length > 8:  # noqa: PLR2004 - it goes in circles
            break
    return chosen[:best_length]


def _pruned(weights: Mapping[int, float]) -> dict[int, float]:
    """Leave out what hardly counts, and have the weights sum to 1."""
    total = sum(weights.values())
    kept = {number: each for number, each in weights.items() if each / total >= LEAST_WEIGHT}
    total = sum(kept.values())
    ordered = sorted(kept, key=lambda number: (-kept[number], number))
    return {number: kept[number] / total for number in ordered}


def _samples(
    y: NDArray[np.float64], rng: np.random.Generator, bags: int, *, classes: bool
) -> Iterator[NDArray[np.intp]]:
    """Yield rows to select on: all of them, or resamples that lack no class."""
    everything = np.arange(len(y))
    if len(y) > BAGGED_ROWS or bags == 1:
        yield everything
        return
    for _ in range(bags):
        rows = rng.integers(0, len(y), len(y))
        whole = not classes or len(np.unique(y[rows])) == len(np.unique(y))
        yield rows if whole else everything


def _cost(metric: Metric, shape: tuple[int, ...]) -> int:
    """Return how much longer a score takes in a metric of ranks, or of pairs of classes."""
    if metric.name == "roc_auc_ovo":
        return 4 * shape[-1]
    return 8 if metric.name in ("roc_auc", "average_precision") else 1


def _sampled(rows: int, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    if rows <= most:
        return np.arange(rows)
    return np.sort(rng.choice(rows, most, replace=False))


def on_folds(
    task: Task, trial: Trial, folds: range
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the validated rows of some folds, by position, and the trial's scores of them."""
    rows = np.concatenate([task.folds[fold][1] for fold in folds])
    scores = np.concatenate([trial.results[fold].scores for fold in folds])
    return rows, scores


def blend(task: Task, trials: list[Trial], folds: range) -> dict[int, float]:
    """Return the weights of the best ensemble of trials that have all these folds."""
    if len(trials) == 1:
        return equal([trials[0].number])
    given = {each.number: on_folds(task, each, folds) for each in trials}
    rows = next(iter(given.values()))[0]
    scores = {number: found for number, (_, found) in given.items()}
    return greedy(task.metric, task.codes[rows], scores, seed=task.seed).weights
