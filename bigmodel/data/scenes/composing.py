"""A scene: some objects before a ground, a pure function of a random stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from PIL import Image

from bigmodel.data.scenes.cutouts import Cutout, Material

SMALLEST, LARGEST = 0.3, 0.65
"""The longer side of an object, as a share of the scene's."""
TURN = 15.0
"""Degrees by which objects are turned at most, to either side."""
COVERED = 0.2
"""The share of the smaller of two boxes that may lie in the other."""
TRIES = 8
OPAQUE = 128
"""An opacity from which on a pixel belongs to an object."""


class Scene(NamedTuple):
    """An image and what is in it.

    ``mask`` has the class of each pixel, 0 for the ground. ``boxes`` are the left, top, right and
    bottom edges of objects in shares of the image, and ``labels`` their classes, from 1 on.
    """

    image: UInt8[np.ndarray, "size size channel"]
    mask: UInt8[np.ndarray, "size size"]
    boxes: Float32[np.ndarray, "object 4"]
    labels: Int32[np.ndarray, " object"]


def by_class(cutouts: Sequence[Cutout]) -> list[list[Cutout]]:
    """The objects of each class that has some."""
    found: dict[int, list[Cutout]] = {}
    for each in cutouts:
        found.setdefault(each.label, []).append(each)
    return list(found.values())


def compose(
    random: np.random.Generator,
    classes: Sequence[Sequence[Cutout]],
    material: Material,
    *,
    size: int,
    objects: int,
) -> Scene:
    """From none to ``objects`` objects, of a class each as likely as another, before a ground.

    An object for which there is no room in a few tries is left out.

    Args:
        random: decides all of it.
        classes: the objects of each class.
        material: grounds, and whether objects may be mirrored.
        size: height and width in pixels.
        objects: how many there are at most.
    """
    channels = classes[0][0].pixels.shape[-1] - 1
    image = _ground(random, material, size, channels)
    mask = np.zeros((size, size), np.uint8)
    boxes: list[tuple[int, int, int, int]] = []
    labels: list[int] = []
    for _ in range(random.integers(objects + 1)):
        some = classes[int(random.integers(len(classes)))]
        cutout = some[int(random.integers(len(some)))]
        pixels = _turned(random, cutout, size, mirrored=material.mirrored)
        solid = pixels[..., -1] >= OPAQUE
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        if not len(rows):
            continue
        cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        pixels, solid = pixels[cut], solid[cut]
        height, width = solid.shape
        for _ in range(TRIES):
            top, left = (int(random.integers(size - side + 1)) for side in (height, width))
            box = (left, top, left + width, top + height)
            if all(_covered(box, other) <= COVERED for other in boxes):
                break
        else:
            continue
        place = np.s_[top : top + height, left : left + width]
        opacity = pixels[..., -1:].astype(np.float32) / 255
        mixed = opacity * pixels[..., :-1] + (1 - opacity) * image[place]
        image[place] = np.rint(mixed).astype(np.uint8)
        mask[place][solid] = cutout.label
        boxes.append(box)
        labels.append(cutout.label)
    return Scene(
        image,
        mask,
        np.array(boxes, np.float32).reshape(-1, 4) / np.float32(size),
        np.array(labels, np.int32),
    )


def _ground(
    random: np.random.Generator, material: Material, size: int, channels: int
) -> UInt8[np.ndarray, "size size {channels}"]:
    """A square of a photograph, or noise around a dark grey."""
    if not material.grounds:
        noise = random.normal(random.uniform(30, 90), 25, (size, size, channels))
        return np.clip(noise, 0, 255).astype(np.uint8)
    photograph = material.grounds[int(random.integers(len(material.grounds)))]
    height, width = photograph.shape[:2]
    side = int(random.uniform(0.3, 1) * min(height, width))
    top, left = (int(random.integers(whole - side + 1)) for whole in (height, width))
    square = Image.fromarray(photograph[top : top + side, left : left + side])
    return np.array(square.resize((size, size), Image.Resampling.BILINEAR))


def _turned(
    random: np.random.Generator, cutout: Cutout, size: int, *, mirrored: bool
) -> UInt8[np.ndarray, "height width channels"]:
    """An object in another size, turned and perhaps mirrored, no larger than the scene."""
    longest = size * random.uniform(SMALLEST, LARGEST)
    turn, mirror = random.uniform(-TURN, TURN), random.random() < 0.5
    pixels = cutout.pixels[:, ::-1] if mirrored and mirror else cutout.pixels
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    sides = [max(1, min(size, round(side * scale))) for side in (width, height)]
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (sides[0], sides[1]), Image.Resampling.BILINEAR
    )
    turned = np.asarray(image.rotate(turn, Image.Resampling.BILINEAR, expand=True))
    return turned[:size, :size]


def _covered(box: Sequence[int], other: Sequence[int]) -> float:
    """The share of the smaller box that lies in the other."""
    across = min(box[2], other[2]) - max(box[0], other[0])
    down = min(box[3], other[3]) - max(box[1], other[1])
    areas = ((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return max(0, across) * max(0, down) / min(areas)
