"""Curves with bands around them, such as those of many seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from bigmodel.figures.canvas import blank, label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = (
    "#3b8fd9", "#e0812b", "#35a36a", "#d9534f", "#9a76d1",
    "#b08968", "#d976b2", "#8f9aa5", "#a9a932", "#2fb3c4",
)  # fmt: skip
"""Told apart from each other, and seen on white and on black."""
DECADES = 3.0
"""Values over more of them are drawn on a logarithmic axis."""


class Band(NamedTuple):
    """A curve and the lower and the upper edge around it, at the same places."""

    name: str
    places: Float[np.ndarray, " point"]
    middle: Float[np.ndarray, " point"]
    low: Float[np.ndarray, " point"]
    high: Float[np.ndarray, " point"]


def draw_bands(bands: Sequence[Band], *, x: str, y: str, reference: int | None = None) -> Figure:
    """The curves in one panel, with their names under it.

    Args:
        bands: at most eleven, for there are ten colors.
        x: what the places are, with their unit.
        y: what the values are.
        reference: which of them the others are compared with; it is black and dashed.
    """
    rows = -(-len(bands) // 2)
    figure = blank(6.4, 3.6 + 0.22 * rows)
    axes = figure.add_subplot()
    lines = []
    colors = iter(COLORS)
    for index, band in enumerate(bands):
        style = {"color": "black", "linestyle": "--"} if index == reference else None
        style = style or {"color": next(colors), "linestyle": "-"}
        marker = "." if len(band.places) < 40 else ""
        axes.fill_between(band.places, band.low, band.high, color=style["color"], alpha=0.18, lw=0)
        lines += axes.plot(band.places, band.middle, marker=marker, linewidth=1.6, **style)
    if wide(np.concatenate([band.middle for band in bands])):
        axes.set_yscale("log")
    axes.set_xlabel(label(x))
    axes.set_ylabel(label(y))
    axes.grid(color="gray", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    length = 40 if len(bands) > 1 else 80
    legend = figure.legend(
        lines,
        [label(band.name, length=length) for band in bands],
        loc="outside lower left",
        ncols=min(2, len(bands)),
        frameon=False,
        fontsize=9,
    )
    for text in (*legend.get_texts(), axes.xaxis.label, axes.yaxis.label):
        text.set_parse_math(False)
    return figure


def wide(values: Float[np.ndarray, " value"]) -> bool:
    """Whether values are all positive and over so many decades that an axis is logarithmic."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() / finite.min() > 10**DECADES)
