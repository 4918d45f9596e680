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
    bands: Sequence[Band], *, x: str, y: str, names: str, reference: int | None = None
) -> Figure:
    """Draws curves in one panel, with their names below it.

    Args:
        bands: at most eleven, because there are ten colors and the reference is black.
        x: label of the horizontal axis, with the unit.
        y: label of the vertical axis.
        names: title of the legend.
        reference: index of the curve that the others are compared with, drawn black and dashed.
    """
    longest = max(len(band.name) for band in bands)
    columns = 1 if longest > 36 else 2 if longest > 22 else 3
    figure = blank(6.4, 3.6 + 0.21 * -(-len(bands) // columns))
    axes = figure.add_subplot()
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
    if wide(np.concatenate([band.middle for band in bands])):
        axes.set_yscale("log")
    axes.set_xlabel(label(x))
    axes.set_ylabel(label(y))
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


def wide(values: Float[np.ndarray, " value"]) -> bool:
    """Whether values are all positive and span enough decades for a logarithmic axis."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() / finite.min() > 10**DECADES)
