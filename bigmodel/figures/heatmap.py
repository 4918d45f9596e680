"""Values over two axes, such as the weights of attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from bigmodel.figures.canvas import blank, pixels


def draw_heatmap(
    values: Float[np.ndarray, "row column"],
    *,
    x: str,
    y: str,
    value: str,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """A matrix as colors.

    Args:
        values: what is drawn, the first row on top.
        x: what the columns are.
        y: what the rows are.
        value: what the colors are, with the unit.
        rows: a name for each row.
        columns: a name for each column.
    """
    height, width = values.shape
    figure = blank(min(14.0, 2.4 + 0.3 * width), min(12.0, 1.6 + 0.3 * height))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=axes, label=value)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if columns is not None:
        rotation = 90 if max(map(len, columns), default=0) > 2 else 0
        axes.set_xticks(range(width), columns, rotation=rotation)
    if rows is not None:
        axes.set_yticks(range(height), rows)
    return pixels(figure)
