"""Matrices as colors, such as attention weights and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from bigmodel.figures.canvas import label, panel, pixels

WRITTEN = 20
"""With more classes than these the counts would be unreadable."""


def draw_heatmap(
    values: Float[np.ndarray, "row column"],
    *,
    x: str,
    y: str,
    value: str,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a matrix as colors, its first row on top; ``value`` says what they are, with the unit.

    ``rows`` and ``columns`` are the names of each.
    """
    height, width = values.shape
    figure, axes = panel(min(14.0, 2.4 + 0.3 * width), min(12.0, 1.6 + 0.3 * height), x=x, y=y)
    image = axes.imshow(values, cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=axes, label=label(value))
    if columns is not None:
        rotation = 90 if max(map(len, columns), default=0) > 2 else 0
        axes.set_xticks(range(width), [label(name) for name in columns], rotation=rotation)
    if rows is not None:
        axes.set_yticks(range(height), [label(name) for name in rows])
    return pixels(figure)


def draw_confusion(
    matrix: Int[np.ndarray, "actual predicted"], names: Sequence[str]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws numbers of examples: a row for each actual class, colored by its shares."""
    count = len(names)
    size = min(12.0, 2.5 + 0.42 * count)
    figure, axes = panel(size + 1.2, size, x="predicted class", y="actual class")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the actual class", shrink=0.8)
    if count <= 2 * WRITTEN:
        ticks = [label(name, length=32) for name in names]
        axes.set_xticks(range(count), ticks, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), ticks)
    if count <= WRITTEN:
        for row, column in np.argwhere(matrix > 0):
            shade = "white" if shares[row, column] > 0.6 else "black"
            text = str(matrix[row, column])
            axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=8)
    return pixels(figure)
