"""Curves with bands around them, as of many seeds, and means with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from bigmodel.figures.canvas import blank, label, panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = (
    "#3b8fd9", "#e0812b", "#35a36a", "#d9534f", "#9a76d1",
    "#b08968", "#d976b2", "#8f9aa5", "#a9a932", "#2fb3c4",
)  # fmt: skip
"""Distinct from each other, and visible on white and on black."""
DECADES = 3.0
"""Positive values that span more of them are drawn on a logarithmic axis."""


class Band(NamedTuple):
    """A curve ``middle`` at ``places``, between the edges ``low`` and ``high``."""

    name: str
    places: Float[np.ndarray, " point"]
    middle: Float[np.ndarray, " point"]
    low: Float[np.ndarray, " point"]
    high: Float[np.ndarray, " point"]


def draw_bands(
    bands: Sequence[Band],
    *,
    x: str,
    y: str,
    names: str,
    reference: int | None = None,
    linear: bool = False,
) -> Figure:
    """Draws at most eleven curves in one panel, and a legend with the title ``names`` below it.

    The curve of index ``reference``, which the others are compared with, is black and dashed. The
    axis is logarithmic where values span several decades, unless it is to be ``linear``.
    """
    longest = max(len(band.name) for band in bands)
    columns = 1 if longest > 36 else 2 if longest > 22 else 3
    figure, axes = panel(6.4, 3.6 + 0.21 * -(-len(bands) // columns), x=x, y=y)
    lines = []
    colors = iter(COLORS)
    shade = 0.2 if len(bands) < 4 else 0.1
    for index, band in enumerate(bands):
        color, dashes = ("black", "--") if index == reference else (next(colors), "-")
        axes.fill_between(band.places, band.low, band.high, color=color, alpha=shade, lw=0)
        marker = "." if len(band.places) < 40 else ""
        lines += axes.plot(
            band.places, band.middle, color=color, linestyle=dashes, marker=marker, linewidth=1.6
        )
    if not linear and wide(np.concatenate([band.middle for band in bands])):
        axes.set_yscale("log")
    axes.grid(color="gray", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        lines,
        [label(band.name, length=80) for band in bands],
        title=label(names, length=80),
        title_fontsize=9,
        alignment="left",
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=9,
    )
    return figure


class Interval(NamedTuple):
    """A mean ``middle`` with its interval, NaN where there is none, and the single values.

    ``group`` is a heading above the first interval that has it.
    """

    name: str
    middle: float
    low: float
    high: float
    points: Sequence[float] = ()
    group: str = ""


def draw_intervals(
    intervals: Sequence[Interval], *, x: str, reference: float | None = None
) -> Figure:
    """Draws a row for each interval, the first one on top, and a dashed line at ``reference``.

    Each interval has a finite ``middle``.
    """
    places, headings, at = [], [], 0.0
    for index, one in enumerate(intervals):
        if one.group and (index == 0 or one.group != intervals[index - 1].group):
            headings.append((at, one.group))
            at += 1
        places.append(at)
        at += 1
    figure = blank(7.2, 0.9 + 0.27 * at)
    axes = figure.add_subplot()
    for place, one in zip(places, intervals, strict=True):
        points = np.asarray(one.points, float)
        below = np.full(points.shape, place + 0.25)
        axes.plot(points, below, "o", color="gray", alpha=0.6, ms=3.5, mew=0)
        if np.isfinite(one.low) and np.isfinite(one.high):
            axes.plot([one.low, one.high], [place, place], color=COLORS[0], lw=2)
        axes.plot([one.middle], [place], "o", color=COLORS[0], ms=6)
    if reference is not None:
        # Below the first heading, which it would cross.
        axes.vlines(reference, places[0] - 0.5, at - 0.5, color="black", lw=1, ls="--", zorder=0)
    drawn = [(one.middle, one.low, one.high, *one.points) for one in intervals]
    if wide(np.array([value for some in drawn for value in some])):
        axes.set_xscale("log")
    axes.set_yticks(places, [label(one.name) for one in intervals])
    for place, name in headings:
        heading = axes.text(
            0.005,
            place,
            label(name, length=80),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontweight="bold",
        )
        heading.set_in_layout(False)
    axes.set_ylim(at - 0.4, -0.6)
    axes.set_xlabel(label(x))
    axes.tick_params(axis="y", length=0)
    axes.grid(color="gray", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def wide(values: Float[np.ndarray, " value"]) -> bool:
    """Whether values are all positive and span enough decades for a logarithmic axis."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() / finite.min() > 10**DECADES)
