"""Images with the class of each pixel as a colour over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from bigmodel.figures.canvas import blank, label, pixels

NAMED = 24
"""Classes that a legend has room for."""
OPACITY = 0.6


def draw_masks(
    images: Float[np.ndarray, "image height width channel"],
    actual: Int[np.ndarray, "image height width"],
    predicted: Int[np.ndarray, "image height width"],
    names: Sequence[str],
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a column for each image: the image, and the actual and the predicted classes over it.

    Args:
        images: values in [0, 1], 1 or 3 channels.
        actual: numbers of classes, 0 for the ground, which is not coloured; 255 is black.
        predicted: the same.
        names: the classes.
    """
    from matplotlib.patches import Patch

    count = len(images)
    figure = blank(1.4 * count + 1.6, 4.6)
    axes = figure.subplots(3, count, squeeze=False)
    rows = (images, painted(images, actual), painted(images, predicted))
    for row, (shown, name) in enumerate(zip(rows, ("image", "actual", "predicted"), strict=True)):
        for column in range(count):
            one = axes[row, column]
            one.imshow(shown[column], cmap="gray", vmin=0, vmax=1)
            one.set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(name)
    there = np.unique(np.concatenate([actual.ravel(), predicted.ravel()]))
    shown_classes = [int(number) for number in there if 0 < number < len(names)][:NAMED]
    patches = [
        Patch(color=color_of(number), label=label(names[number])) for number in shown_classes
    ]
    if patches:
        figure.legend(handles=patches, loc="outside right upper", frameon=False)
    return pixels(figure)


def painted(
    images: Float[np.ndarray, "image height width channel"],
    masks: Int[np.ndarray, "image height width"],
) -> Float[np.ndarray, "image height width 3"]:
    """Images whose pixels have, beside their own, the colour of their class."""
    colors = np.zeros((256, 3))
    colors[1:255] = [color_of(number) for number in range(1, 255)]
    over = (masks > 0)[..., None]
    grounds = np.broadcast_to(images, (*images.shape[:3], 3))
    return np.where(over, (1 - OPACITY) * grounds + OPACITY * colors[masks], grounds).clip(0, 1)


def color_of(number: int) -> tuple[float, float, float]:
    """The colour of a class, from 1 on."""
    import matplotlib

    red, green, blue, _ = matplotlib.colormaps["tab20"](
        ((number - 1) * 2 + (number - 1) // 10) % 20
    )
    return red, green, blue
