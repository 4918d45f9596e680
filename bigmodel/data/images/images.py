"""Labelled images by name: digits, Fashion-MNIST, or a folder of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.batches import Arrays, epochs
from bigmodel.data.folds import Folds, hold_out_test
from bigmodel.data.images.augmentation import augment
from bigmodel.data.images.fashion_mnist import NAMES as FASHION_NAMES
from bigmodel.data.images.fashion_mnist import read_fashion_mnist
from bigmodel.data.images.folder import read_folder
from bigmodel.data.parts import data_of
from bigmodel.data.split import Split, check_held_out, stratified
from bigmodel.experiment import Data, InputError


@dataclass(frozen=True)
class ImageData(Folds):
    """Which images, how they are divided, and how they are changed for training."""

    name: Literal["digits", "fashion_mnist", "folder"] = "digits"
    """digits: 1,797 of 8x8, bundled; fashion_mnist: 70,000 of 28x28; folder: your own"""
    path: str = ""
    """fashion_mnist: folder of the idx files. folder: folder with one subfolder a class"""
    batch_size: int = 128
    """images in a batch"""
    validation: float = 0.1
    """fraction of the training images of each class that is held out to choose by"""
    test: float = 0.2
    """fraction of each class held out as test set; fashion_mnist has its own test set, unless
    there are folds, which then divide its training images"""
    split_seed: int = 0
    """decides which images are held out, apart from the seed of the run"""
    shift: int = 0
    """training images move by up to this many pixels, down and across"""
    flip: bool = False
    """whether half of the training images are mirrored left and right"""
    size: int = 64
    """folder: images are resized to this many pixels in height and width"""
    channels: Literal["grey", "rgb"] = "rgb"
    """folder: whether images are read as grey or as colour"""


class Images(NamedTuple):
    """Batches of images with what a model must know about them."""

    data: Data
    classes: int
    shape: tuple[int, int, int]
    names: tuple[str, ...]


class _Parts(NamedTuple):
    """Images and labels by split, and the names of the classes."""

    train: Arrays
    test: Arrays
    names: tuple[str, ...]


def load_images(options: ImageData) -> Images:
    """Read the images, divide them, and make them into batches.

    Batches are ``image`` float32 ``[batch, height, width, channel]`` in [0, 1], ``label``
    int32 ``[batch]`` and ``weight`` float32 ``[batch]``. The splits are ``validation`` and
    ``test``, each absent where its fraction is 0.

    Raises:
        InputError: If an option is out of range or the data cannot be used.
    """
    _check(options)
    train, test, names = _read(options)
    train, validation = _hold_out(train, options.validation, names, options.split_seed + 1)
    shape = train["image"].shape[1:]
    if options.shift >= min(shape[:2]):
        raise InputError(
            f"--data.shift {options.shift} must be smaller than the images: {shape[0]}x{shape[1]}"
        )
    parts = {"train": train, "validation": validation, "test": test}
    rows = epochs(train, options.batch_size)

    def batch(seed: int, step: int) -> dict[str, np.ndarray]:
        chosen = rows(seed, step)
        image = augment(chosen["image"], seed, step, shift=options.shift, flip=options.flip)
        return _in_unit_range(chosen | {"image": image})

    data = data_of(parts, options.batch_size, prepare=_in_unit_range, train=batch)
    return Images(data, len(names), shape, names)


def _check(options: ImageData) -> None:
    check_held_out(options)
    if options.shift < 0:
        raise InputError(f"--data.shift {options.shift} must not be negative")
    if options.size < 1:
        raise InputError(f"--data.size {options.size} must be at least 1")
    if options.name == "digits" and options.path:
        raise InputError("--data.path is for fashion_mnist and folder; digits are bundled")
    if options.name == "folder" and not options.path:
        raise InputError("--data.name folder needs --data.path, a folder with a subfolder a class")
    if options.path and not Path(options.path).is_dir():
        raise InputError(f"--data.path {options.path} is no folder")


def _read(options: ImageData) -> _Parts:
    if options.name == "fashion_mnist":
        (image, label), (test_image, test_label) = read_fashion_mnist(options.path)
        train, test = _arrays(image, label), _arrays(test_image, test_label)
        if options.folds:
            train, test = _divide(train, options, FASHION_NAMES)
        return _Parts(train, test, FASHION_NAMES)
    if options.name == "digits":
        image, label, names = _read_digits()
    else:
        mode = {"grey": "L", "rgb": "RGB"}[options.channels]
        image, label, names = read_folder(Path(options.path), size=options.size, mode=mode)
    train, test = _divide(_arrays(image, label), options, names)
    return _Parts(train, test, names)


def _read_digits() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    # Imported here, for it takes a second that other data need not spend.
    from sklearn.datasets import load_digits

    digits = load_digits()
    image = (digits.images / 16).astype(np.float32)[..., None]
    return image, digits.target.astype(np.int32), tuple(str(d) for d in digits.target_names)


def _arrays(image: np.ndarray, label: np.ndarray) -> Arrays:
    return {"image": image, "label": label}


def _divide(arrays: Arrays, options: ImageData, names: tuple[str, ...]) -> tuple[Arrays, Arrays]:
    """Training and test images."""
    split = hold_out_test(
        options, arrays["label"], options.test, names=names, seed=options.split_seed
    )
    return _take(arrays, split)


def _hold_out(
    arrays: Arrays, fraction: float, names: tuple[str, ...], seed: int
) -> tuple[Arrays, Arrays]:
    return _take(arrays, stratified(arrays["label"], fraction, names=names, seed=seed))


def _take(arrays: Arrays, split: Split) -> tuple[Arrays, Arrays]:
    kept = {name: array[split.kept] for name, array in arrays.items()}
    held = {name: array[split.held] for name, array in arrays.items()}
    return kept, held


def _in_unit_range(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Bytes become float32 in [0, 1]; images that are float32 already stay as they are."""
    image = batch["image"]
    if image.dtype == np.uint8:
        image = image.astype(np.float32) / np.float32(255)
    return batch | {"image": np.ascontiguousarray(image)}
