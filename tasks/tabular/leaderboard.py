"""What a search found, as a table to read and to keep."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.tabular.learners import Params
    from tasks.tabular.search import Candidate


@dataclass(frozen=True, slots=True)
class Line:
    """One candidate: its rank, mean validation metric, and seconds per fold set."""

    rank: int
    learner: str
    score: float | None
    fit_seconds: float
    predict_seconds: float
    params: Params
    error: str


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All candidates, best first; `metric` is greater-is-better."""

    metric: str
    lines: tuple[Line, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the lines as JSON-ready rows."""
        return [asdict(line) for line in self.lines]


def rank(metric: str, candidates: Sequence[Candidate]) -> Leaderboard:
    """Rank candidates by their score; those that failed come last, saying why."""
    ordered = sorted(candidates, key=lambda each: each.score, reverse=True)
    return Leaderboard(
        metric,
        tuple(
            Line(
                place,
                each.learner,
                each.score if each.fold_scores else None,
                round(each.fit_seconds, 3),
                round(each.predict_seconds, 3),
                each.params,
                each.error,
            )
            for place, each in enumerate(ordered, 1)
        ),
    )
