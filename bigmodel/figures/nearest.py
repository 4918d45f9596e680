"""Images with the texts that are nearest to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from bigmodel.figures.canvas import blank, label, pixels


def draw_nearest(
    images: Float[np.ndarray, "image height width channel"],
    own: Sequence[str],
    nearest: Sequence[Sequence[tuple[str, float]]],
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a row for each image: the image, its own text, and the nearest ones with their cosines.

    Args:
        images: values in [0, 1], 1 or 3 channels.
        own: the text of each; it is in green where it is among the nearest.
        nearest: of each image, the nearest first.
    """
    count = len(images)
    figure = blank(7.0, 1.25 * count)
    axes = figure.subplots(count, 2, squeeze=False, width_ratios=(1, 5))
    for (picture, table), image, text, found in zip(axes, images, own, nearest, strict=True):
        picture.imshow(image, cmap="gray", vmin=0, vmax=1)
        picture.set(xticks=[], yticks=[])
        table.axis("off")
        lines = [f"its text: {text}", *(f"{cosine:5.2f}  {other}" for other, cosine in found)]
        rights = [False, *(other == text for other, _ in found)]
        for number, (line, right) in enumerate(zip(lines, rights, strict=True)):
            style = {"color": "tab:green" if right else "black"}
            if not number:
                style["fontweight"] = "bold"
            place = (0.0, 1 - (number + 0.5) / len(lines))
            table.text(*place, label(line, length=72), fontsize=8, va="center", **style)
    return pixels(figure)
