"""Grids of images."""

from __future__ import annotations

import numpy as np


def tile(images: np.ndarray, *, columns: int, enlarge: int = 1) -> np.ndarray:
    """Puts images side by side, row by row, with a dark grey line around each.

    Args:
        images: ``[image, height, width, channel]`` with values in [0, 1] and 1 or 3 channels.
        columns: Images in a row; empty ones fill the last row.
        enlarge: Side of the square that each pixel becomes.

    Returns:
        uint8 ``[height, width]``, or ``[height, width, 3]`` for 3 channels.
    """
    rows = -(-len(images) // columns)
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    pixels = pixels.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    missing = rows * columns - len(images)
    pixels = np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0)))
    pixels = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=64)
    height, width, channels = pixels.shape[1:]
    picture = pixels.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = picture.reshape(rows * height, columns * width, channels)
    return picture[..., 0] if channels == 1 else picture
