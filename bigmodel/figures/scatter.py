"""Points in a plane, such as embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from bigmodel.figures.canvas import blank, pixels


def draw_scatter(
    points: Float[np.ndarray, "point 2"],
    *,
    x: str,
    y: str,
    texts: Sequence[str] | None = None,
    classes: Int[np.ndarray, " point"] | None = None,
    names: Sequence[str] = (),
) -> UInt8[np.ndarray, "height width 3"]:
    """Points with their texts, or colored by class.

    Args:
        points: where they are.
        x: what the first coordinate is, with its unit.
        y: what the second one is.
        texts: what is written at each point.
        classes: the class of each point, a number below ``len(names)``.
        names: the classes.
    """
    figure = blank(7.5, 6.0)
    axes = figure.add_subplot()
    if classes is None:
        axes.scatter(points[:, 0], points[:, 1], s=6, color="C0")
    else:
        colors = _colors(len(names))
        for index, name in enumerate(names):
            chosen = points[classes == index]
            axes.scatter(chosen[:, 0], chosen[:, 1], s=6, color=colors[index], label=name)
        figure.legend(loc="outside right upper", markerscale=3)
    for point, text in zip(points, texts or (), strict=False):
        axes.annotate(text, point, fontsize=7, xytext=(2, 2), textcoords="offset points")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return pixels(figure)


def _colors(count: int) -> np.ndarray:
    import matplotlib

    return matplotlib.colormaps["tab20" if count > 10 else "tab10"](np.arange(count) % 20)
