"""Points in a plane, such as embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from bigmodel.figures.canvas import label, panel, pixels

LEGEND = 40
"""A legend of more names would leave no room for the points."""


def draw_scatter(
    points: Float[np.ndarray, "point 2"],
    *,
    x: str,
    y: str,
    texts: Sequence[str] | None = None,
    classes: Int[np.ndarray, " point"] | None = None,
    names: Sequence[str] = (),
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws points with a text each, or colored by class, a number below ``len(names)``."""
    figure, axes = panel(7.5, 6.0, x=x, y=y)
    if classes is None:
        axes.scatter(points[:, 0], points[:, 1], s=6, color="C0")
    else:
        import matplotlib

        colors = matplotlib.colormaps["tab20" if len(names) > 10 else "tab10"]
        axes.scatter(points[:, 0], points[:, 1], s=6, color=colors(classes % 20))
        named = [label(name, length=32) for name in names[:LEGEND]]
        shown = [axes.scatter([], [], s=50, color=colors(n % 20)) for n in range(len(named))]
        figure.legend(shown, named, loc="outside right upper")
    for point, text in zip(points, texts or (), strict=False):
        axes.annotate(label(text), point, fontsize=7, xytext=(2, 2), textcoords="offset points")
    axes.grid(alpha=0.3)
    return pixels(figure)
