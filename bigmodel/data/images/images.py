"""Labelled images by name: digits, Fashion-MNIST, or a folder of one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from bigmodel.data.batches import Arrays
from bigmodel.data.images.augmentation import augment
from bigmodel.data.images.fashion_mnist import NAMES as FASHION_NAMES
from bigmodel.data.images.fashion_mnist import read_fashion_mnist
from bigmodel.data.images.folder import read_folders
from bigmodel.data.images.reading import ImageReader, image_reader
from bigmodel.data.labelled import LabelledData
from bigmodel.data.packaged import read_digits
from bigmodel.data.parts import data_of
from bigmodel.data.split import check_positive, split_rows
from bigmodel.experiment import Assets, Data, InputError
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
    reader: ImageReader

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.reader.names

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, and channels."""
        return self.reader.shape


def load_images(options: ImageData, assets: Assets | None = None) -> Images:
    """Read the images, divide them, and make them into batches.

    Batches are ``image`` float32 ``[batch, height, width, channel]`` in [0, 1], ``label``
    int32 ``[batch]`` and ``weight`` float32 ``[batch]``. The splits are ``validation`` and
    ``test``, each absent where its fraction is 0. Images of more than 8 bits are scaled by the
    lowest and the highest value of the training images.

    Args:
        options: Which images.
        assets: Files of a trained run: all images are then the split ``test`` for it.

    Raises:
        InputError: If an option is out of range, the data cannot be used, or all training images
            are equal.
    """
    for name, path in (("path", options.path), ("test-path", options.test_path)):
        if path and not os.path.isdir(path):
            raise InputError(f"--data.{name} {path[:200]} is no folder")
    if assets is not None:
        return _to_test(options, image_reader(assets))
    parts, names = _read(options)
    whole, label = parts["train"], parts["train"]["label"]
    split = split_rows(options, len(label), labels=label, names=names, given=parts)
    parts = {
        part: {name: array[rows] for name, array in whole.items()}
        if len(rows) or part not in parts
        else parts[part]
        for part, rows in split.items()
    }
    image = parts["train"]["image"]
    shape = image.shape[1:]
    reader = ImageReader(names, shape, options.background)
    if options.name == "folder":
        _check_varied(image)
        if image.dtype == np.float32:
            reader = reader._replace(low=float(image.min()), high=float(image.max()))
            note(
                f"{options.path}: images of more than 8 bits; values from {reader.low:g} to "
                f"{reader.high:g} become 0 to 1"
            )
    if options.shift >= min(shape[:2]):
        raise InputError(
            f"--data.shift {options.shift} must be smaller than the images: {shape[0]}x{shape[1]}"
        )
    return _images(parts, reader, options)


def _to_test(options: ImageData, reader: ImageReader) -> Images:
    """All images as the test split of a trained run."""
    height, _, channels = reader.shape
    if options.name == "folder":
        options = replace(options, size=height, channels="grey" if channels == 1 else "rgb")
    parts, names = _read(options, reader.names)
    unknown = [name for name in names if name not in reader.names]
    image = np.concatenate([part["image"] for part in parts.values()])
    label = np.concatenate([part["label"] for part in parts.values()])
    if unknown or image.shape[1:] != reader.shape:
        what = (
            f"the class {unknown[0]!r}" if unknown else f"{image.shape[1:]} as shape of its images"
        )
        raise InputError(f"--data.name {options.name} has {what}, which the run was not trained on")
    number = np.array([reader.names.index(name) for name in names], np.int32)
    everything = _arrays(image, number[label])
    size = min(options.batch_size, len(label))
    parts = {"train": everything, "test": everything}
    return _images(parts, reader, replace(options, batch_size=size, shift=0, flip=False))


def _images(parts: dict[str, Arrays], reader: ImageReader, options: ImageData) -> Images:
    if reader.low is not None:
        parts = {
            part: {**arrays, "image": reader.unit_range(arrays["image"])}
            for part, arrays in parts.items()
        }

    def prepared(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        image = batch["image"]
        in_range = reader.unit_range(image) if image.dtype == np.uint8 else image
        return batch | {"image": np.ascontiguousarray(in_range)}

    def augmented(batch: dict[str, np.ndarray], *which: Any) -> dict[str, np.ndarray]:
        size, shift, flip = options.batch_size, options.shift, options.flip
        image = augment(batch["image"], *which, size=size, shift=shift, flip=flip)
        return batch | {"image": image}

    data = data_of(
        parts, options.batch_size, prepare=prepared, augment=augmented, assets=reader.dump()
    )
    inputs: dict[str, Any] = {part: parts[part]["image"] for part in data.splits}
    return Images(data._replace(inputs=inputs), reader)


def _read(
    options: ImageData, known: tuple[str, ...] = ()
) -> tuple[dict[str, Arrays], tuple[str, ...]]:
    """The parts that the data comes in, at least ``train``, and the names of the classes.

    Of a folder, where classes are ``known`` from training, it is the part ``test`` alone.
    """
    if options.name == "fashion_mnist":
        train, test = read_fashion_mnist(options.path)
        return {"train": _arrays(*train), "test": _arrays(*test)}, FASHION_NAMES
    if options.name == "digits":
        table = read_digits()
        image = (table[:, :-1].reshape(-1, 8, 8, 1) / 16).astype(np.float32)
        names = tuple(str(digit) for digit in range(10))
        return {"train": _arrays(image, table[:, -1].astype(np.int32))}, names
    parts, names = read_folders(
        Path(options.path),
        Path(options.test_path) if options.test_path else None,
        size=options.size,
        mode="L" if options.channels == "grey" else "RGB",
        background=options.background,
        known=known,
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
