"""Curves: those of a run, and others over one axis, such as a series and its forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from bigmodel.figures.canvas import blank, label, panel, pixels


def draw_curves(history: Sequence[dict[str, Any]]) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a panel for each metric, in which its splits share the axes.

    Names without a split, such as ``seconds``, are not metrics.
    """
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in history:
        for name, value in line.items():
            if "/" in name and value is not None:
                split, _, metric = name.partition("/")
                panels.setdefault(metric, {}).setdefault(split, []).append((line["step"], value))
    columns = min(3, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = blank(4.2 * columns, 3.0 * rows)
    colors = {"train": "C0", "validation": "C1", "test": "C2"}
    for index, (metric, splits) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        lines = []
        for split, points in splits.items():
            steps, values = zip(*points, strict=True)
            marker = "." if len(points) < 40 else ""
            lines += axes.plot(steps, values, marker=marker, color=colors.get(split))
        axes.set_ylabel(label(metric.replace("_", " ")))
        axes.set_xlabel("step")
        # Values that are nearly the same stand at the ticks, not what is to be added to them.
        axes.ticklabel_format(useOffset=False)
        axes.grid(alpha=0.3)
        if len(splits) > 1:
            axes.legend(lines, [label(split) for split in splits])
    return pixels(figure)


def draw_lines(
    curves: Mapping[str, tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
    *,
    x: str,
    y: str,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws curves, which are places and values by name, in one panel."""
    figure, axes = panel(9.0, 3.6, x=x, y=y)
    lines = []
    for places, values in curves.values():
        lines += axes.plot(places, values, linewidth=1.2)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(lines, [label(name) for name in curves])
    return pixels(figure)
