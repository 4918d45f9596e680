"""Curves over one axis, such as a series and its forecast."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from bigmodel.figures.canvas import blank, pixels


def draw_lines(
    curves: Mapping[str, tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
    *,
    x: str,
    y: str,
) -> UInt8[np.ndarray, "height width 3"]:
    """Curves by name, each its places and its values.

    Args:
        curves: name to places and values.
        x: what the places are, with their unit.
        y: what the values are.
    """
    figure = blank(9.0, 3.6)
    axes = figure.add_subplot()
    for name, (places, values) in curves.items():
        axes.plot(places, values, label=name, linewidth=1.2)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend()
    return pixels(figure)
