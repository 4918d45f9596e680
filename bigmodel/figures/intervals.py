"""Means with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bigmodel.figures.bands import COLORS, wide
from bigmodel.figures.canvas import blank, label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """Draws a row for each interval, the first one on top.

    Args:
        intervals: each with a finite ``middle``.
        x: label of the horizontal axis.
        reference: value of a dashed line to compare all with.
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
