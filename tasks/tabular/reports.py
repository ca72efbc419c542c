"""Pages for people: one HTML file each, with nothing to be loaded from elsewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from tasks.tabular.profiling import Histogram, ProfileReport

_HEATMAP_COLUMNS = 24
"""Columns of the association map: more are not told apart on a screen."""

_SHOWN_PAIRS = 12


def profile_page(report: ProfileReport, title: str, subtitle: str = "") -> str:
    """Return the profile as an HTML page; all values are escaped, whatever they hold."""
    page = environment().get_template("profile.html.j2")
    text: str = page.render(
        title=title,
        subtitle=subtitle,
        report=report,
        warned=[each for each in report.columns if each.warnings],
        pairs=report.pairs[:_SHOWN_PAIRS],
        heatmap=_heatmap(report),
    )
    return text


def cell(text: str) -> str:
    """Return text that stays within a cell of a Markdown table, and is no markup."""
    return " ".join(re.sub(r"([\\\\`*_\[\]()!|#~])", r"\\\1", escape(text, quote=False)).split())


def _heatmap(report: ProfileReport) -> dict[str, Any]:
    """Return the names and cells of the association map, strongest columns first."""
    strengths: dict[str, float] = {}
    for pair in report.pairs:
        for name in (pair.first, pair.second):
            strengths[name] = max(strengths.get(name, 0.0), abs(pair.strength))
    names = sorted(strengths, key=lambda name: -strengths[name])[:_HEATMAP_COLUMNS]
    names = [each.name for each in report.columns if each.name in names]
    places = {name: place for place, name in enumerate(names)}
    cells = [
        (places[a], places[b], pair.strength)
        for pair in report.pairs
        if pair.first in places and pair.second in places
        for a, b in ((pair.first, pair.second), (pair.second, pair.first))
    ]
    return {"names": names, "cells": cells}


def _number(value: float | None) -> str:
    """Word a number in at most six digits.

    Examples
    --------
    >>> _number(1234567.0), _number(0.123456789), _number(None)
    ('1,234,567', '0.123457', 'none')
    """
    if value is None:
        return "none"
    if float(value).is_integer() and abs(value) < 1e15:  # noqa: PLR2004 - beyond, digits are not exact
        return f"{int(value):,}"
    return f"{value:,.6g}"


def _share(value: float) -> str:
    return "0 %" if value == 0 else "< 0.1 %" if value < 0.001 else f"{100 * value:.1f} %"  # noqa: PLR2004 - what one decimal shows


def _edge(value: float, kind: str) -> str:
    """Word the edge of a histogram; dates have theirs in seconds."""
    if kind != "datetime":
        return _number(value)
    within = min(max(value, _FIRST), _LAST)  # the edges of a bar may lie beyond the last year
    return datetime.fromtimestamp(within, UTC).strftime("%Y-%m-%d %H:%M")


_FIRST = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def _bars(histogram: Histogram) -> list[tuple[int, float, int, float, float]]:
    """Return place, height (0 to 1), count and edges of every bar."""
    most = max(histogram.counts) or 1
    return [
        (place, count / most, count, histogram.edges[place], histogram.edges[place + 1])
        for place, count in enumerate(histogram.counts)
    ]


@cache
def environment() -> Environment:
    """Return the templates of `pages/`; all they print is escaped."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": _number, "share": _share, "bars": _bars, "edge": _edge}
    return templates
