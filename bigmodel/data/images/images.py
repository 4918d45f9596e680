"""Labelled images by name: digits, Fashion-MNIST, or a folder of one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.batches import Arrays
from bigmodel.data.images.augmentation import augment
from bigmodel.data.images.fashion_mnist import NAMES as FASHION_NAMES
from bigmodel.data.images.fashion_mnist import read_fashion_mnist
from bigmodel.data.images.folder import read_folders
from bigmodel.data.labelled import LabelledData
from bigmodel.data.parts import data_of
from bigmodel.data.split import check_positive, split_rows
from bigmodel.experiment import Data, InputError
from bigmodel.output import note


@dataclass(frozen=True)
class ImageData(LabelledData):
    """Which images, how they are divided, and how they are augmented."""

    name: Literal["digits", "fashion_mnist", "folder"] = "digits"
    """digits: 1,797 of 8x8, bundled; fashion_mnist: 70,000 of 28x28, with its own test set unless
    there are folds; folder: your own"""
    path: str = ""
    """fashion_mnist: folder of the idx files; folder: folder with a subfolder for each class, or
    with train and perhaps val and test, which contain these"""
    batch_size: int = 128
    """images in a batch"""
    shift: int = 0
    """maximum random shift of training images in pixels, vertical and horizontal"""
    flip: bool = False
    """whether training images are mirrored horizontally with probability one half"""
    size: int = 64
    """folder: height and width in pixels that images are resized to"""
    channels: Literal["grey", "rgb"] = "rgb"
    """folder: whether images are read as greyscale or in colour"""
    background: Literal["white", "black"] = "white"
    """folder: colour behind transparent pixels"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shift < 0:
            raise InputError(f"--data.shift {self.shift} must not be negative")
        check_positive(self, "size")
        if self.name == "digits" and self.path:
            raise InputError("--data.path is for fashion_mnist and folder; digits are bundled")
        if self.name == "folder" and not self.path:
            raise InputError("--data.name folder needs --data.path, a folder with a folder a class")
        if self.name != "folder" and self.test_path:
            raise InputError("--data.test-path is for --data.name folder; leave it out")


class Images(NamedTuple):
    """Batches of images, and what a model must know about them."""

    data: Data
    classes: int
    shape: tuple[int, int, int]
    names: tuple[str, ...]


def load_images(options: ImageData) -> Images:
    """Read the images, divide them, and make them into batches.

    Batches are ``image`` float32 ``[batch, height, width, channel]`` in [0, 1], ``label``
    int32 ``[batch]`` and ``weight`` float32 ``[batch]``. The splits are ``validation`` and
    ``test``, each absent where its fraction is 0. Images of more than 8 bits are scaled by the
    lowest and the highest value of the training images.

    Raises:
        InputError: If an option is out of range, the data cannot be used, or all training images
            are equal.
    """
    for name, path in (("path", options.path), ("test-path", options.test_path)):
        if path and not os.path.isdir(path):
            raise InputError(f"--data.{name} {path[:200]} is no folder")
    parts, names = _read(options)
    whole, label = parts["train"], parts["train"]["label"]
    split = split_rows(options, len(label), labels=label, names=names, given=parts)
    parts = {
        part: {name: array[rows] for name, array in whole.items()}
        if len(rows) or part not in parts
        else parts[part]
        for part, rows in split.items()
    }
    if options.name == "folder":
        _check_varied(parts["train"]["image"])
        if parts["train"]["image"].dtype == np.float32:
            parts = _scaled(parts, options.path)
    shape = parts["train"]["image"].shape[1:]
    if options.shift >= min(shape[:2]):
        raise InputError(
            f"--data.shift {options.shift} must be smaller than the images: {shape[0]}x{shape[1]}"
        )

    def augmented(batch: dict[str, np.ndarray], seed: int, step: int) -> dict[str, np.ndarray]:
        image = augment(batch["image"], seed, step, shift=options.shift, flip=options.flip)
        return batch | {"image": image}

    data = data_of(parts, options.batch_size, prepare=_in_unit_range, augment=augmented)
    return Images(data, len(names), shape, names)


def _read(options: ImageData) -> tuple[dict[str, Arrays], tuple[str, ...]]:
    """The parts that the data comes in, at least ``train``, and the names of the classes."""
    if options.name == "fashion_mnist":
        train, test = read_fashion_mnist(options.path)
        return {"train": _arrays(*train), "test": _arrays(*test)}, FASHION_NAMES
    if options.name == "digits":
        # Imported here because it takes a second, and other data does not need it.
        from sklearn.datasets import load_digits

        digits = load_digits()
        image = (digits.images / 16).astype(np.float32)[..., None]
        names = tuple(str(digit) for digit in digits.target_names)
        return {"train": _arrays(image, digits.target.astype(np.int32))}, names
    parts, names = read_folders(
        Path(options.path),
        Path(options.test_path) if options.test_path else None,
        size=options.size,
        mode="L" if options.channels == "grey" else "RGB",
        background=options.background,
    )
    if options.folds and len(parts) > 1:
        raise InputError(
            f"--data.folds divides one folder, and {options.path} has folders of parts; give the "
            "one of train as --data.path"
        )
    return parts, names


def _arrays(image: np.ndarray, label: np.ndarray) -> Arrays:
    return {"image": image, "label": label}


def _check_varied(image: np.ndarray) -> None:
    if all(np.array_equal(each, image[0]) for each in image[1:]):
        raise InputError(
            f"all {len(image)} training images are equal as they are read; if they are drawings on "
            "a transparent ground, use another --data.background, else check the files"
        )


def _scaled(parts: dict[str, Arrays], path: str) -> dict[str, Arrays]:
    """Scales the range of the training images to [0, 1]; values beyond it are clipped."""
    low, high = (float(f(parts["train"]["image"])) for f in (np.min, np.max))
    note(f"{path}: images of more than 8 bits; values from {low:g} to {high:g} become 0 to 1")
    return {
        part: {**arrays, "image": np.clip((arrays["image"] - low) / (high - low), 0, 1)}
        for part, arrays in parts.items()
    }


def _in_unit_range(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Converts bytes to float32 in [0, 1]; float32 images stay as they are."""
    image = batch["image"]
    if image.dtype == np.uint8:
        image = image.astype(np.float32) / np.float32(255)
    return batch | {"image": np.ascontiguousarray(image)}
