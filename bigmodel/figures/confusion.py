"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8

from bigmodel.figures.canvas import blank, label, pixels

WRITTEN = 20
"""With more classes than these the counts would be unreadable."""


def draw_confusion(
    matrix: Int[np.ndarray, "actual predicted"], names: Sequence[str]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a confusion matrix: a row for each actual class, colored by its shares.

    Args:
        matrix: number of examples by actual and predicted class.
        names: the classes in the order of both axes.
    """
    count = len(names)
    size = min(12.0, 2.5 + 0.42 * count)
    figure = blank(size + 1.2, size)
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the actual class", shrink=0.8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("actual class")
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
