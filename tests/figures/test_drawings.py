"""Each drawing is pixels that change with what is drawn."""

import numpy as np
import pytest

from bigmodel.figures.confusion import draw_confusion
from bigmodel.figures.curves import draw_curves
from bigmodel.figures.heatmap import draw_heatmap
from bigmodel.figures.lines import draw_lines
from bigmodel.figures.scatter import draw_scatter

PLACES = np.arange(5.0)
POINTS = np.random.default_rng(0).normal(size=(6, 2))
NAMES = ("a", "b", "c")
DRAWINGS = {
    "confusion": lambda by: draw_confusion(np.diag([3, 1 + by, 2]), NAMES),
    "confusion of many": lambda by: draw_confusion(np.eye(60, dtype=int) + by, ["x"] * 60),
    "curves": lambda by: draw_curves([{"step": s, "train/loss": s * s + by} for s in range(5)]),
    "heatmap": lambda by: draw_heatmap(
        np.eye(3) + by * np.eye(3)[::-1], x="x", y="y", value="v", rows=NAMES, columns=NAMES
    ),
    "lines": lambda by: draw_lines({"one": (PLACES, PLACES**2 + by)}, x="time (s)", y="v"),
    "scatter": lambda by: draw_scatter(
        POINTS, x="x", y="y", classes=np.arange(6) % (2 + by), names=NAMES
    ),
    "texts": lambda by: draw_scatter(POINTS, x="x", y="y", texts=["word", *"bcde", str(by)]),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_is_pixels_that_depend_on_the_values(name: str) -> None:
    draw = DRAWINGS[name]
    first, again, other = draw(0), draw(0), draw(1)
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or np.any(first != other)
