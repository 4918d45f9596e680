"""Random augmentation of training images, a pure function of ``(seed, step)``."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Shaped

# Numbers one of the independent random streams of a seed; the order of the rows has another.
AUGMENTATION_STREAM = 1

Images = Shaped[np.ndarray, "batch height width channel"]


def augment(
    images: Images, seed: int, step: int, rows: slice, *, size: int, shift: int, flip: bool
) -> Images:
    """Shift each image by up to `shift` pixels, and mirror half of them horizontally.

    Vertical and horizontal shifts are independent; pixels from beyond the border are 0. The images
    are these rows of a batch of `size`.
    """
    rng = np.random.default_rng([seed, AUGMENTATION_STREAM, step])
    if shift:
        images = shifted(images, rng.integers(-shift, shift + 1, (size, 2))[rows])
    if flip:
        mirror = rng.random(size)[rows] < 0.5
        images = np.where(mirror[:, None, None, None], images[:, :, ::-1], images)
    return images


def shifted(images: Images, offsets: Int[np.ndarray, "batch 2"]) -> Images:
    """Move each image down and right by its offsets in pixels, with zeros from beyond."""
    reach = int(np.abs(offsets).max(initial=0))
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    down, right = (reach - offsets).T
    return np.moveaxis(windows[np.arange(len(images)), down, right], 1, -1)
