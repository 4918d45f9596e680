"""The picture of a run: each metric over the steps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

LEFT_OUT = {"step", "time", "seconds", "steps_per_second"}


def draw_curves(history: Sequence[dict[str, Any]]) -> bytes:
    """A PNG with one panel for each metric; the splits of a metric share its panel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in history:
        for name, value in line.items():
            if name not in LEFT_OUT and value is not None:
                split, _, metric = name.partition("/")
                panels.setdefault(metric, {}).setdefault(split, []).append((line["step"], value))
    columns = min(3, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(4.2 * columns, 3.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    colors = {"train": "C0", "validation": "C1", "test": "C2"}
    for index, (metric, splits) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        for split, points in splits.items():
            steps, values = zip(*points, strict=True)
            marker = "." if len(points) < 40 else ""
            axes.plot(steps, values, marker=marker, label=split, color=colors.get(split))
        axes.set_title(metric.replace("_", " "))
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if len(splits) > 1:
            axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
