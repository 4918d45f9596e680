"""Random augmentation of training images, a pure function of ``(seed, step, row)``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from bigmodel.data.images.alteration import (
    CROP_DRAWS,
    STRONGEST,
    Alteration,
    altered,
    random_boxes,
    random_colours,
    random_operations,
)
from bigmodel.data.images.mixing import unit_range
from bigmodel.data.images.reading import box_of_centre, central
from bigmodel.data.images.threads import for_each
from bigmodel.experiment import InputError

# Number the independent random streams of a seed; the order of the rows has another.
AUGMENTATION_STREAM = 1
CROP_STREAM = 2
OPERATION_STREAM = 3
COLOUR_STREAM = 4

Images = Shaped[np.ndarray, "batch height width channel"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are changed at random; by default not at all."""

    shift: int = 0
    """maximum random shift of training images in pixels, vertical and horizontal"""
    flip: bool = False
    """whether training images are mirrored horizontally with probability one half"""
    crop: float | None = None
    """smallest share of an image that a random part has which is read instead of it, such as 0.08
    (Szegedy et al., 2015); its shape is between 3:4 and 4:3"""
    jitter: float = 0.0
    """brightness, contrast and colour change by a factor between 1 less this and 1 more"""
    hue: float = 0.0
    """the hue turns by at most this share of the colour circle, up to 0.5"""
    randaugment: int = 0
    """how many of 14 random operations change an image (Cubuk et al., 2020)"""
    magnitude: float = 9
    """how strong the operations of --data.randaugment are, up to 30"""
    mixup: float = 0.0
    """classifiers: parameter of the Beta distribution by which two images are blended, such as 0.2
    (Zhang et al., 2018)"""
    cutmix: float = 0.0
    """classifiers: that by which a box of one image is put into another, such as 1.0 (Yun et al.,
    2019); beside --data.mixup each image is mixed in one of the two ways"""

    def check_augmentation(self) -> None:
        """Raises InputError for an option that is out of range."""
        for name in ("shift", "jitter", "randaugment", "mixup", "cutmix"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(
                    f"--data.{name} {getattr(self, name)} must be 0 or a positive number"
                )
        for name, most in (("jitter", 1.0), ("hue", 0.5), ("magnitude", STRONGEST)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"--data.{name} {getattr(self, name)} must be from 0 to {most}")
        if self.crop is not None and not 0 < self.crop <= 1:
            raise InputError(f"--data.crop {self.crop} must be above 0 and at most 1")

    def check_unmixed(self, what: str) -> None:
        """Raises InputError where images are mixed for an experiment that has no classes."""
        for name in ("mixup", "cutmix"):
            if getattr(self, name):
                raise InputError(f"--data.{name} mixes classes, and {what}; leave it out")

    @property
    def mixes(self) -> bool:
        """Whether two images are mixed."""
        return bool(self.mixup or self.cutmix)

    @property
    def alters(self) -> bool:
        """Whether images are changed one by one."""
        return bool(self.crop or self.jitter or self.hue or self.randaugment)


def augmented(
    images: Images, seed: int, step: int, rows: slice, *, how: Augmentation, batch_size: int,
    shape: tuple[int, int], workers: int,
) -> Images:  # fmt: skip
    """These rows of a batch, shifted, mirrored, cut to a size and changed in colour.

    Images of numbers from 0 to 1 are rounded to 255ths where they are changed one by one.

    Args:
        images: the rows, of this height and width or larger.
        seed: decides with the step and the row what happens to an image, and nothing else does.
        step: that of the batch.
        rows: which of the batch they are.
        how: the options.
        batch_size: how many rows the batch has.
        shape: height and width of what is left.
        workers: how many threads change images one by one.
    """
    images = augment(images, seed, step, rows, size=batch_size, shift=how.shift, flip=how.flip)
    if not how.alters:
        return central(images, shape)
    whole = images
    if images.dtype != np.uint8:
        whole = np.rint(images * np.float32(255)).astype(np.uint8)

    def draws(stream: int, *each: int) -> np.ndarray:
        return np.random.default_rng([seed, stream, step]).random((batch_size, *each))[rows]

    count, outer = len(images), images.shape[1:3]
    boxes = np.tile(box_of_centre(outer, shape), (count, 1))
    if how.crop is not None:
        boxes = random_boxes(draws(CROP_STREAM, CROP_DRAWS), how.crop, outer)
    operations = random_operations(draws(OPERATION_STREAM, how.randaugment, 2), how.magnitude)
    colours = random_colours(draws(COLOUR_STREAM, 4), how.jitter, how.hue)
    found = np.empty((count, *shape, images.shape[3]), np.uint8)

    def alter(row: int) -> None:
        change = Alteration(tuple(boxes[row].tolist()), operations[row], colours[row])
        found[row] = altered(whole[row], change, shape)

    for_each(alter, count, workers)
    return found if images.dtype == np.uint8 else unit_range(found)


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
