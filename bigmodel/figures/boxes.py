"""Images with boxes around what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8

from bigmodel.figures.canvas import blank, label, pixels
from bigmodel.figures.masks import color_of


class Framed(Protocol):
    """Edges of boxes in shares of an image, their classes, and perhaps their scores."""

    @property
    def boxes(self) -> Float[np.ndarray, "box 4"]:
        """Left, top, right and bottom."""

    @property
    def labels(self) -> Int[np.ndarray, " box"]:
        """Numbers of classes, from 1 on."""

    @property
    def scores(self) -> Float[np.ndarray, " box"] | None:
        """From 0 to 1."""


def draw_boxes(
    images: Float[np.ndarray, "image height width channel"],
    actual: Sequence[Framed],
    predicted: Sequence[Framed],
    names: Sequence[str],
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a column for each image: what is there above, and what was found below.

    Args:
        images: values in [0, 1], 1 or 3 channels.
        actual: the boxes of each image.
        predicted: those that were found, with scores.
        names: the classes by their labels.
    """
    from matplotlib.patches import Rectangle

    count = len(images)
    figure = blank(1.9 * count + 0.4, 4.2)
    axes = figure.subplots(2, count, squeeze=False)
    for row, (framed, name) in enumerate(
        zip((actual, predicted), ("actual", "found"), strict=True)
    ):
        for column in range(count):
            one, shown = axes[row, column], images[column]
            height, width = shown.shape[:2]
            one.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
            of = framed[column]
            for number, (box, which) in enumerate(zip(of.boxes, of.labels, strict=True)):
                left, top, right, bottom = box * [width, height, width, height]
                sides = (left, top), right - left, bottom - top
                color = color_of(int(which))
                one.add_patch(Rectangle(*sides, fill=False, edgecolor=color, lw=1.6))
                score = "" if of.scores is None else f" {of.scores[number]:.2f}"
                told = label(names[which], length=16) + score
                ground = {"facecolor": color, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
                one.text(left, top, told, fontsize=6, color="black", va="bottom", bbox=ground)
            one.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
        axes[row, 0].set_ylabel(name)
    return pixels(figure)
