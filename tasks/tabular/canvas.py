"""Blank plots in one style, and text that is safe to draw.

Nothing here touches matplotlib's global state (pyplot, rcParams), so threads may draw at once.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from numpy.typing import NDArray

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Told apart by colour-blind eyes too (Okabe and Ito 2008)."""

MAIN, OTHER, GOOD = PALETTE[:3]
INK, SOFT, LINE, PALE = "#1f2933", "#5f6b7a", "#e1e6ec", "#c3ccd6"

_DPI = 120
_MISSING = "▯"
_BESIDE = ((7, -13), (-7, 6), (7, 6), (-7, -13))
"""Places of a name beside its point, in points, the most wanted first."""

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plot:
    """A PNG picture and what it shows, ready for JSON."""

    png: bytes
    data: Data


def blank(
    title: str, x: str = "", y: str = "", *, size: tuple[float, float] = (6.4, 4.6)
) -> tuple[Figure, Axes]:
    """Return a figure, in inches, with one plot in it."""
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    style(axes, x, y)
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=10)
    return figure, axes


def style(axes: Axes, x: str = "", y: str = "", *, grid: str = "both") -> None:
    """Give axes their labels, a faint grid ("both", "x", "y" or "none") and no box."""
    axes.set_xlabel(x, fontsize=9.5, color=SOFT)
    axes.set_ylabel(y, fontsize=9.5, color=SOFT)
    axes.tick_params(labelsize=8.5, colors=SOFT, length=0)
    for each in axes.spines.values():
        each.set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(visible=False)
    if grid != "none":
        axes.grid(visible=True, axis=grid, color=LINE, linewidth=0.8)  # type: ignore[arg-type]


def unit_square(axes: Axes) -> None:
    """Show zero to one on both axes, equally long."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")


def legend(axes: Axes, **options: Any) -> Legend:
    """Draw a legend without a box, behind which lines stay visible."""
    drawn = axes.legend(
        fontsize=8.5,
        labelcolor=INK,
        frameon=True,
        facecolor="white",
        edgecolor="none",
        framealpha=0.8,
        handlelength=1.4,
        **options,
    )
    drawn.get_title().set(fontsize=8.5, color=SOFT)
    return drawn


def note(axes: Axes, text: str) -> None:
    """Write, in the middle of an empty plot, why it is."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=SOFT, fontsize=10
    )


def write_names(
    figure: Figure, axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]]
) -> None:
    """Write names beside their points; one that would overlap an earlier one is left out."""
    figure.draw_without_rendering()  # else the axes have no place yet
    edge = axes.get_window_extent()
    taken: list[Any] = []
    for name, point in zip(names, points, strict=True):
        for x, y in _BESIDE:
            text = axes.annotate(
                name,
                point,
                xytext=(x, y),
                textcoords="offset points",
                ha="left" if x > 0 else "right",
                fontsize=8.5,
                color=INK,
                in_layout=False,
            )
            box = text.get_window_extent()
            if box.x0 > edge.x0 and box.x1 < edge.x1 and not any(map(box.overlaps, taken)):
                taken.append(box)
                break
            text.remove()


def png(figure: Figure) -> bytes:
    """Draw a figure, the same bytes for the same figure, and let go of what it holds."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    figure.clear()
    return buffer.getvalue()


def sample(rows: int, most: int) -> NDArray[np.intp]:
    """Return all rows, or `most` of them in order, always the same."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def number(value: Any) -> float | None:
    """Return a number with six digits for JSON, which has none that are not finite."""
    return float(f"{value:.6g}") if value is not None and np.isfinite(value) else None


def numbers(values: NDArray[Any]) -> list[float | None]:
    """Return numbers with six digits for JSON."""
    return [number(each) for each in values.tolist()]


def words(value: float) -> str:
    """Return a number for a title: three digits, or whole thousands.

    Examples
    --------
    >>> words(-2664.2), words(0.012345)
    ('-2,664', '0.0123')
    """
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.3g}"  # noqa: PLR2004


def plain(name: object, most: int = 28, otherwise: str = "") -> str:
    r"""Return a name as one short line that can be drawn as it is written.

    The middle of a long name is left out, for names often differ at their ends. Characters the
    font has no picture of become boxes; `otherwise` stands in for a name of nothing else.

    Examples
    --------
    >>> plain("price in $"), plain("two\nlines"), plain("a" * 30, 9)
    ('price in \\$', 'two lines', 'aaaaa…aaa')
    """
    text = " ".join(
        "".join(c if c.isprintable() or c.isspace() else " " for c in str(name)).split()
    )
    if len(text) > most:
        tail = (most - 1) * 2 // 5
        text = f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
    pictures = _pictures()
    drawable = "".join(each if ord(each) in pictures else _MISSING for each in text)
    if otherwise and not drawable.strip(f"{_MISSING} …"):
        drawable = otherwise
    return drawable.replace("$", r"\$")  # a pair of dollars would start a formula


@cache
def _pictures() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
