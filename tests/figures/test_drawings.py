"""Each drawing is pixels that change with what is drawn."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bigmodel.figures.bands import Band, draw_bands
from bigmodel.figures.canvas import label, picture, pixels, png
from bigmodel.figures.confusion import draw_confusion
from bigmodel.figures.curves import draw_curves
from bigmodel.figures.heatmap import draw_heatmap
from bigmodel.figures.intervals import Interval, draw_intervals
from bigmodel.figures.lines import draw_lines
from bigmodel.figures.scatter import draw_scatter

PLACES = np.arange(5.0)
POINTS = np.random.default_rng(0).normal(size=(6, 2))
NAMES = ("a", "b", "c")


def bands(by: float, name: str = "one") -> Figure:
    edges = (PLACES**2 + by, PLACES**2 - 1, PLACES**2 + 1)
    return draw_bands([Band(name, PLACES, *edges)], x="step", y="v", names="n", reference=0)


def intervals(by: float, name: str = "one") -> Figure:
    rows = [Interval(name, 1.0 + by, 0.5, 2.0, [0.8, 1.2], "g"), Interval("b", 2.0, np.nan, np.nan)]
    return draw_intervals(rows, x="v", reference=1.0)


DRAWINGS = {
    "bands": lambda by: pixels(bands(by)),
    "intervals": lambda by: pixels(intervals(by)),
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


@pytest.mark.parametrize("draw", [bands, intervals])
def test_picture_for_a_page_holds_names_as_text_and_nothing_that_is_black(draw) -> None:
    name = "<i>$x_1$ \u4e2d"
    text = picture(draw(0, name))
    root = ElementTree.fromstring(text)
    assert name in {"".join(element.itertext()).strip() for element in root.iter()}
    assert root.get("fill") == "currentColor"
    strokes = set(re.findall('stroke: ([^;"]+)', text))
    assert "currentColor" in strokes
    assert "#000000" not in strokes
    assert text == picture(draw(0, name))


def test_png_is_the_same_picture_as_the_pixels() -> None:
    with Image.open(io.BytesIO(png(bands(0)))) as image:
        np.testing.assert_array_equal(np.asarray(image)[..., :3], pixels(bands(0)))


def test_label_is_one_short_line_of_characters() -> None:
    assert label("a\nb\x00") == "a b\ufffd"
    cut = label("x" * 30 + "y" * 30, length=20)
    assert len(cut) <= 21
    assert cut.startswith("x")
    assert cut.endswith("y")
