"""Matrices as colors, such as attention weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from bigmodel.figures.canvas import blank, label, pixels


def draw_heatmap(
    values: Float[np.ndarray, "row column"],
    *,
    x: str,
    y: str,
    value: str,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a matrix as colors.

    Args:
        values: the matrix; its first row is on top.
        x: label of the columns.
        y: label of the rows.
        value: label of the colors, with the unit.
        rows: a name for each row.
        columns: a name for each column.
    """
    height, width = values.shape
    figure = blank(min(14.0, 2.4 + 0.3 * width), min(12.0, 1.6 + 0.3 * height))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=axes, label=label(value))
    axes.set_xlabel(label(x))
    axes.set_ylabel(label(y))
    if columns is not None:
        rotation = 90 if max(map(len, columns), default=0) > 2 else 0
        axes.set_xticks(range(width), [label(name) for name in columns], rotation=rotation)
    if rows is not None:
        axes.set_yticks(range(height), [label(name) for name in rows])
    return pixels(figure)
