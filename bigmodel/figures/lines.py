"""Curves over one axis, such as a series and its forecast."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from bigmodel.figures.canvas import blank, label, pixels


def draw_lines(
    curves: Mapping[str, tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
    *,
    x: str,
    y: str,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws curves by name in one panel.

    Args:
        curves: the places and the values of each.
        x: label of the places, with the unit.
        y: label of the values.
    """
    figure = blank(9.0, 3.6)
    axes = figure.add_subplot()
    lines = []
    for places, values in curves.values():
        lines += axes.plot(places, values, linewidth=1.2)
    axes.set_xlabel(label(x))
    axes.set_ylabel(label(y))
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(lines, [label(name) for name in curves])
    return pixels(figure)
