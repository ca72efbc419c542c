"""Medians, ratios and the table they end in: pure, without a clock."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of the table: what is asked for, what was measured, and whether it holds.

    `holds` is None where nothing is asked, or nothing could be measured: `measured` says why.
    """

    bar: str
    measured: str
    holds: bool | None = None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that at least `share` of all values do not exceed: the nearest rank.

    Examples
    --------
    >>> percentile([3.0, 1.0, 2.0, 4.0], 0.5)
    2.0
    """
    if not values:
        raise ValueError("no values, no percentile")
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def paired_ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    """Return the median over rounds of ours divided by the other's in the same round."""
    return statistics.median(one / other for one, other in zip(ours, others, strict=True))


def at_most(bar: str, value: float, most: float, words: str) -> Bar:
    """Hold a value to an upper bound."""
    return Bar(bar, words, value <= most)


def at_least(bar: str, value: float, least: float, words: str) -> Bar:
    """Hold a value to a lower bound."""
    return Bar(bar, words, value >= least)


def milliseconds(seconds: float) -> str:
    """Word a duration."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds * 1e3:,.0f} ms"


def table(bars: Sequence[Bar]) -> str:
    """Return the bars as one Markdown table."""
    words = {True: "yes", False: "no", None: "-"}
    rows = [("bar", "measured", "holds"), ("---", "---", "---")]
    rows += [(each.bar, each.measured, words[each.holds]) for each in bars]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
