"""What random changes make of one image: a part of it, RandAugment's operations, other colours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageEnhance, ImageOps

Pixels = UInt8[np.ndarray, "height width channel"]
Draws = Float[np.ndarray, "row draw"]
"""Random numbers, even in [0, 1)."""

TRIES = 10
CROP_DRAWS = 2 * TRIES + 2
"""Numbers that decide where a part is: its area and its shape as often as is tried, its place."""
WIDEST = 4 / 3
STRONGEST = 30
"""The largest magnitude of RandAugment."""
GREY = 128
"""What moves into an image from beyond its border."""


class Alteration(NamedTuple):
    """What is done to an image: ``box`` is the part of it, left, top, right and bottom.

    ``operations`` are numbers of :data:`OPERATIONS`, and how strong they are, from -1 to 1.
    ``colours`` are the factors of brightness, contrast and saturation, and by which share of the
    colour circle the hue turns.
    """

    box: tuple[float, float, float, float]
    operations: tuple[tuple[int, float], ...] = ()
    colours: tuple[float, ...] = (1.0, 1.0, 1.0, 0.0)


def altered(pixels: Pixels, how: Alteration, shape: tuple[int, int]) -> Pixels:
    """The part of an image, resized to a height and width, after all that is done to it."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    height, width = shape
    if how.box != (0, 0, *image.size) or image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=how.box)
    for number, strength in how.operations:
        image = OPERATIONS[number](image, strength)
    *factors, turn = how.colours
    for enhance, factor in zip(_COLOURS, factors, strict=True):
        if factor != 1:
            image = enhance(image).enhance(factor)
    if turn and image.mode == "RGB":
        image = _turned(image, turn)
    return np.asarray(image).reshape(height, width, -1)


def random_boxes(
    draws: Draws, smallest: float, shape: tuple[int, int]
) -> Float[np.ndarray, "row 4"]:
    """Random parts of images, of which each covers at least a share ``smallest``.

    Area and shape are those of Szegedy et al. (2015): the area is even in [smallest, 1], the
    logarithm of width by height even between those of 3/4 and 4/3, of a square image. Those that
    would not fit are drawn again, up to ten times, after which it is the whole image.

    Args:
        draws: ``CROP_DRAWS`` numbers for each row.
        smallest: share of the area, above 0.
        shape: height and width of the images in pixels.

    Returns:
        The left, the top, the right and the bottom of each.
    """
    area = smallest + (1 - smallest) * draws[:, :TRIES]
    ratio = np.exp((2 * draws[:, TRIES : 2 * TRIES] - 1) * math.log(WIDEST))
    extent = np.sqrt(np.stack([area * ratio, area / ratio], axis=-1))
    fits: np.ndarray = np.all(extent <= 1, axis=-1)
    first = extent[np.arange(len(draws)), fits.argmax(axis=1)]
    extent = np.where(np.any(fits, axis=1, keepdims=True), first, 1.0)
    start = draws[:, 2 * TRIES :] * (1 - extent)
    end = np.minimum(start + extent, 1)
    return np.concatenate([start, end], axis=1) * np.tile(shape[::-1], 2)


def random_operations(
    draws: Float[np.ndarray, "row operation 2"], magnitude: float
) -> list[tuple[tuple[int, float], ...]]:
    """Which of RandAugment's operations change each image (Cubuk et al., 2020).

    All are as likely, and so are both directions of those that have two.

    Args:
        draws: two numbers for each of the operations of a row.
        magnitude: how strong they are, up to ``STRONGEST``.
    """
    numbers = (draws[..., 0] * len(OPERATIONS)).astype(int)
    strengths = np.where(draws[..., 1] < 0.5, -1, 1) * (magnitude / STRONGEST)
    return [
        tuple(zip(of_row, strength, strict=True))
        for of_row, strength in zip(numbers.tolist(), strengths.tolist(), strict=True)
    ]


def random_colours(draws: Draws, jitter: float, hue: float) -> list[tuple[float, ...]]:
    """The colours of an :class:`Alteration` for each row, of four numbers each.

    Factors are even in [1 - jitter, 1 + jitter], and turns in [-hue, hue].
    """
    centred = 2 * draws - 1
    turned = [1 + jitter * centred[:, :3], hue * centred[:, 3:]]
    return [tuple(row) for row in np.concatenate(turned, axis=1).tolist()]


def _turned(image: Image.Image, share: float) -> Image.Image:
    hue, *rest = image.convert("HSV").split()
    moved = np.asarray(hue) + np.uint8(round(share * 256) % 256)
    return Image.merge("HSV", [Image.fromarray(moved), *rest]).convert("RGB")


def _moved(image: Image.Image, *matrix: float) -> Image.Image:
    """Each pixel (x, y) from (a x + b y + c, d x + e y + f)."""
    fill = GREY if image.mode == "L" else (GREY,) * 3
    affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return image.transform(image.size, affine, matrix, bilinear, fillcolor=fill)


def _rotated(image: Image.Image, strength: float) -> Image.Image:
    fill = GREY if image.mode == "L" else (GREY,) * 3
    return image.rotate(30 * strength, Image.Resampling.BILINEAR, fillcolor=fill)


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> Operation:
    return lambda image, strength: kind(image).enhance(1 + 0.9 * strength)


Operation = Callable[[Image.Image, float], Image.Image]
_COLOURS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
FARTHEST = 150 / 331
"""By which share of an image it is moved at most."""
OPERATIONS: tuple[Operation, ...] = (
    lambda image, _: image,
    lambda image, strength: _moved(image, 1, 0.3 * strength, 0, 0, 1, 0),
    lambda image, strength: _moved(image, 1, 0, 0, 0.3 * strength, 1, 0),
    lambda image, strength: _moved(image, 1, 0, FARTHEST * strength * image.width, 0, 1, 0),
    lambda image, strength: _moved(image, 1, 0, 0, 0, 1, FARTHEST * strength * image.height),
    _rotated,
    *(_enhanced(kind) for kind in (*_COLOURS, ImageEnhance.Sharpness)),
    lambda image, strength: ImageOps.posterize(image, 8 - round(4 * abs(strength))),
    lambda image, strength: ImageOps.solarize(image, round(255 * (1 - abs(strength)))),
    lambda image, _: ImageOps.autocontrast(image),
    lambda image, _: ImageOps.equalize(image),
)
"""Those of RandAugment, of an image and how strong they are, from -1 to 1: none, shears, shifts,
rotation, brightness, contrast, colour, sharpness, fewer bits, inverted highlights, the whole range
of values, and all of them as often. Ranges are those of torchvision's ``RandAugment``."""
