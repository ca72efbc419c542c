"""Shadows: versions that get copies of requests, off the way of answers, and are compared."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.errors import ModelServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.database.routes import Route
    from infra.gateway.forwarding import Answer, Forwarder

WAITING = 100
"""Copies under way at most; more are dropped and counted."""

EXAMPLES = 20
"""Disagreements that are shown, the newest."""


@dataclass(slots=True)
class ShadowReport:
    """How a shadow compares: counts of rows, and of requests that could not be compared."""

    version: int
    live_version: int
    rows: int = 0
    disagreements: int = 0
    largest_difference: float = 0.0
    failed: int = 0
    dropped: int = 0
    examples: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=EXAMPLES))

    def compare(self, live: list[dict[str, Any]], shadow: list[dict[str, Any]], name: str) -> None:
        """Count the rows of one request; `name` is the live answer's."""
        for place, (one, other) in enumerate(zip(live, shadow, strict=True)):
            self.rows += 1
            difference = _difference(one, other)
            self.largest_difference = max(self.largest_difference, difference)
            if _differs(one, other, difference):
                self.disagreements += 1
                self.examples.append(
                    {"prediction_id": name, "row": place, "live": one, "shadow": other}
                )


class Shadows:
    """Copies of requests to shadows, and what they come to, by model."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._reports: dict[str, ShadowReport] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def report(self, model: str) -> ShadowReport | None:
        """Return how the model's shadow compares since it or the live version last changed."""
        return self._reports.get(model)

    def copy(self, live: Answer, shadow: Route, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a copy and compare, later: the answer is on its way already."""
        report = self._reports.get(shadow.model)
        pair = (shadow.version, live.route.version)
        if report is None or (report.version, report.live_version) != pair:
            report = self._reports[shadow.model] = ShadowReport(*pair)
        if len(self._tasks) >= WAITING:
            report.dropped += 1
            return
        task = asyncio.create_task(self._compare(report, live, shadow, body, headers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compare(
        self,
        report: ShadowReport,
        live: Answer,
        shadow: Route,
        body: bytes,
        headers: Mapping[str, str],
    ) -> None:
        try:
            answer = await self._forwarder.ask((shadow,), body, headers)
            one, other = json.loads(live.content), json.loads(answer.content)
            report.compare(_rows(one), _rows(other), one["prediction_id"])
        except (ModelServerError, ValueError, KeyError):  # away, a refusal, another shape
            report.failed += 1


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    if "predictions" in answer:
        rows: list[dict[str, Any]] = answer["predictions"]
        return rows
    return [{"prediction": answer["prediction"], "probabilities": answer["probabilities"]}]


def _difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference of probabilities, or that of values."""
    shares, others = one["probabilities"], other["probabilities"]
    if shares and others:
        names = shares.keys() | others.keys()
        return float(max(abs(shares.get(name, 0.0) - others.get(name, 0.0)) for name in names))
    if isinstance(one["prediction"], float) and isinstance(other["prediction"], float):
        return float(abs(one["prediction"] - other["prediction"]))
    return 0.0


def _differs(one: dict[str, Any], other: dict[str, Any], difference: float) -> bool:
    """Whether two predictions disagree: another label, or a value off by over a thousandth."""
    if one["probabilities"] or not isinstance(one["prediction"], float):
        return bool(one["prediction"] != other["prediction"])
    return difference > abs(one["prediction"]) / 1000
