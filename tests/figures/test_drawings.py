import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bigmodel.figures import curves
from bigmodel.figures.boxes import draw_boxes
from bigmodel.figures.canvas import label, picture, pixels, png
from bigmodel.figures.curves import draw_curves, draw_lines
from bigmodel.figures.grid import tile
from bigmodel.figures.heatmap import draw_confusion, draw_heatmap
from bigmodel.figures.intervals import Band, Interval, draw_bands, draw_intervals
from bigmodel.figures.masks import draw_masks
from bigmodel.figures.nearest import draw_nearest
from bigmodel.figures.scatter import draw_scatter
from bigmodel.training.scenes.average_precision import Found

PLACES = np.arange(5.0)
POINTS = np.random.default_rng(0).normal(size=(6, 2))


def bands(by: float, name: str = "one") -> Figure:
    edges = (PLACES**2 + by, PLACES**2 - 1, PLACES**2 + 1)
    return draw_bands([Band(name, PLACES, *edges)], x=name, y=name, names=name, reference=0)


def intervals(by: float, name: str = "one") -> Figure:
    rows = [Interval(name, 1.0 + by, 0.5, 2.0, [0.8, 1.2], name)]
    return draw_intervals([*rows, Interval("b", 2.0, np.nan, np.nan)], x=name, reference=1.0)


DRAWINGS = {
    "bands": lambda by, name: pixels(bands(by, name)),
    "intervals": lambda by, name: pixels(intervals(by, name)),
    "confusion": lambda by, name: draw_confusion(np.diag([3, 1 + by, 2]), [name, "b", "c"]),
    "confusion of many": lambda by, name: draw_confusion(np.eye(60, dtype=int) + by, [name] * 60),
    "curves": lambda by, name: draw_curves(
        [{"step": s, f"train/{name}": s * s + by, f"{name}/{name}": s} for s in range(5)]
    ),
    "heatmap": lambda by, name: draw_heatmap(
        np.eye(2) + by * np.eye(2)[::-1], x=name, y=name, value=name, rows=[name] * 2,
        columns=[name] * 2,
    ),
    "lines": lambda by, name: draw_lines(
        {name: (PLACES, PLACES**2 + by), "b": (PLACES, PLACES)}, x=name, y=name
    ),
    "scatter": lambda by, name: draw_scatter(
        POINTS, x=name, y=name, classes=np.arange(6) % (2 + by), names=(name, "b", "c")
    ),
    "scatter of many": lambda by, name: draw_scatter(
        POINTS, x="x", y="y", classes=np.arange(6) + by, names=[name] * 900
    ),
    "texts": lambda by, name: draw_scatter(POINTS + by, x="x", y="y", texts=[name, *"bcdef"]),
}  # fmt: skip
# Mathematics that is none, what a legend leaves out, markup, other alphabets, no Unicode.
NAMES = ("$0_to_$100", r"\$x$ $\frac{" + 99 * "w", "_", "", "[red] <b> \u4e2d\n\udce9")


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_pixels_that_depend_on_the_values_whatever_the_names_are(name: str) -> None:
    draw = DRAWINGS[name]
    for text in NAMES[: 1 if "many" in name else None]:
        first = draw(0, text)
        assert (first.dtype, first.ndim, first.shape[2]) == (np.uint8, 3, 3)
    np.testing.assert_array_equal(first, draw(0, text))
    other = draw(1, text)
    assert first.shape != other.shape or np.any(first != other)


@pytest.mark.parametrize("draw", [bands, intervals])
def test_picture_for_a_page_holds_names_as_text_and_nothing_that_is_black(draw) -> None:
    name = r"<i>$x_1$ \$5 中"
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
    assert label("x" * 30 + "y" * 30, length=20) == 9 * "x" + " … " + 9 * "y"


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_of_a_grid_is_where_it_is_read(channels: int) -> None:
    images = np.random.default_rng(0).random((5, 4, 6, channels), np.float32)
    picture = tile(images, columns=2)
    assert picture.dtype == np.uint8
    assert picture.shape == ((3 * 6, 2 * 8) if channels == 1 else (3 * 6, 2 * 8, 3))
    for i, image in enumerate(images):
        top, left = i // 2 * 6 + 1, i % 2 * 8 + 1
        part = picture[top : top + 4, left : left + 6].reshape(image.shape)
        np.testing.assert_allclose(part / 255, image, atol=0.5 / 255 + 1e-6)
    assert not picture[13:17, 9:15].any()


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 5, 4, 1)])
def test_what_is_in_images_is_drawn_of_one_pixel_in_colour_and_of_grey(
    shape: tuple[int, ...],
) -> None:
    images, mask = np.full(shape, 0.5), np.ones(shape[:3], int)
    count, names = shape[0], ("ground", NAMES[0])
    there = [Found(np.array([[0.1, 0.2, 0.5, 0.9]]), np.array([1]), np.array([0.7]))] * count
    none = [Found(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))] * count
    nearest = [[("a", 0.5), (NAMES[0], 0.1)]] * count
    for one, other in (
        (draw_masks(images, mask, mask, names), draw_masks(images, mask, 0 * mask, names)),
        (draw_boxes(images, there, there, names), draw_boxes(images, there, none, names)),
        (
            draw_nearest(images, ["a"] * count, nearest),
            draw_nearest(images, ["b"] * count, nearest),
        ),
    ):
        assert one.shape == other.shape
        assert np.any(one != other)


def test_pixels_are_enlarged_to_squares() -> None:
    picture = tile(np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1), columns=1, enlarge=3)
    expected = np.pad(np.array([[0] * 3 + [255] * 3] * 3), 1, constant_values=64)
    np.testing.assert_array_equal(picture, expected)


def test_values_that_are_nearly_the_same_stand_at_the_ticks(monkeypatch) -> None:
    kept = []
    monkeypatch.setattr(curves, "pixels", kept.append)
    values = np.array([0.99994, 0.99995, 1.0])
    draw_curves([{"step": n, "test/auc": value} for n, value in enumerate(values)])
    draw_lines({"a": (np.arange(3.0), values)}, x="step", y="auc")
    for figure in kept:
        pixels(figure)
        (axes,) = figure.axes
        assert not axes.yaxis.get_offset_text().get_text()
        assert "0.99995" in [tick.get_text() for tick in axes.get_yticklabels()]
