"""Labelled images by name: digits, Fashion-MNIST, or a folder of one's own."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bigmodel.data.images.augmentation import Augmentation, augmented
from bigmodel.data.images.folder import Told, files_apart
from bigmodel.data.images.mixing import mixtures, received
from bigmodel.data.images.options import ImageData
from bigmodel.data.images.pixels import Chosen, digest_of_parts
from bigmodel.data.images.reading import ImageReader, central, image_reader
from bigmodel.data.images.sources import read_parts
from bigmodel.data.parts import data_of, names_of_numbers
from bigmodel.data.split import split_rows
from bigmodel.experiment import Assets, Data, InputError
from bigmodel.output import note

LOOKED_AT = 32
"""Of many images, to see whether they are all equal."""


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

    Batches are ``image`` ``[batch, height, width, channel]``, ``label`` int32 ``[batch]`` and
    ``weight`` float32 ``[batch]``. Images are bytes, of which ``Data.receive`` makes float32 in
    [0, 1], or these numbers; it also mixes images. The splits are ``validation`` and ``test``, each
    absent where its fraction is 0. Images of more than 8 bits are scaled by the lowest and the
    highest value of the training images.

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
    parts, names, told = read_parts(options)
    whole, label = parts["train"], parts["train"]["label"]
    split = split_rows(options, len(label), labels=label, names=names, given=parts)
    parts = {
        part: {name: _chosen(array, rows) for name, array in whole.items()}
        if len(rows) or part not in parts
        else parts[part]
        for part, rows in split.items()
    }
    image = parts["train"]["image"]
    reader = ImageReader(names, image.shape[1:], options.background)
    if options.name == "folder":
        _check_varied(image)
        if image.dtype == np.float32:
            reader = reader._replace(low=float(image.min()), high=float(image.max()))
            note(
                f"{options.path}: images of more than 8 bits; values from {reader.low:g} to "
                f"{reader.high:g} become 0 to 1"
            )
        if options.resize is not None:
            size = options.size
            reader = reader._replace(shape=(size, size, reader.shape[2]), resize=options.resize)
    height, width, _ = reader.shape
    if options.shift >= min(height, width):
        raise InputError(
            f"--data.shift {options.shift} must be smaller than the images: {height}x{width}"
        )
    return _images(parts, reader, options, told)


def _to_test(options: ImageData, reader: ImageReader) -> Images:
    """All images as the test split of a trained run."""
    height, _, channels = reader.shape
    if options.name == "folder":
        colours: Any = "grey" if channels == 1 else "rgb"
        options = replace(options, size=height, resize=reader.resize, channels=colours)
    parts, names, told = read_parts(options, reader.names)
    unknown = [name for name in names if name not in reader.names]
    whole, *others = parts.values()
    if others:
        whole = {n: np.concatenate([whole[n], *(part[n] for part in others)]) for n in whole}
    image, label = whole["image"], whole["label"]
    known = reader.resize or height, reader.resize or reader.shape[1], channels
    if unknown or image.shape[1:] != known:
        what = (
            f"the class {unknown[0]!r}" if unknown else f"{image.shape[1:]} as shape of its images"
        )
        raise InputError(f"--data.name {options.name} has {what}, which the run was not trained on")
    number = np.array([reader.names.index(name) for name in names], np.int32)
    whole = whole | {"label": number[label]}
    options = replace(
        options, batch_size=min(options.batch_size, len(label)), **vars(Augmentation())
    )
    return _images({"train": whole, "test": whole}, reader, options, told)


def _images(
    parts: dict[str, Any], reader: ImageReader, options: ImageData, told: Told | None
) -> Images:
    parts, column = files_apart(parts, told, options.path)
    shape = reader.shape[:2]
    if reader.low is not None:
        parts = {
            part: {**arrays, "image": reader.unit_range(arrays["image"])}
            for part, arrays in parts.items()
        }

    def cut(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return batch | {"image": np.ascontiguousarray(central(batch["image"], shape))}

    def changed(batch: dict[str, np.ndarray], *which: Any) -> dict[str, np.ndarray]:
        *place, size = which
        mixup, cutmix = options.mixup, options.cutmix
        sizes: Any = {"batch_size": size, "shape": shape, "workers": options.threads}
        batch = batch | {"image": augmented(batch["image"], *place, how=options, **sizes)}
        if not options.mixes:
            return batch
        return batch | mixtures(*place, size=size, shape=shape, mixup=mixup, cutmix=cutmix)

    data = data_of(
        parts,
        options.batch_size,
        prepare=cut,
        augment=changed,
        deciding=names_of_numbers(reader.names, own=bool(options.path)),
        assets=reader.dump(),
        digest=digest_of_parts(parts),
        shared="--data.mixup and --data.cutmix mix two of them" if options.mixes else "",
    )
    inputs = {part: _inputs(parts[part]["image"], shape) for part in data.splits}
    return Images(data._replace(inputs=inputs, receive=received, column=column), reader)


def _chosen(array: Any, rows: np.ndarray) -> Any:
    return array.part(rows) if isinstance(array, Chosen) else array[rows]


def _inputs(image: Any, shape: tuple[int, int]) -> Any:
    return image.inputs if isinstance(image, Chosen) else central(image, shape)


def _check_varied(image: Any) -> None:
    spread = np.linspace(0, len(image) - 1, LOOKED_AT).astype(int)
    seen = image[spread] if isinstance(image, Chosen) else image
    if all(np.array_equal(each, seen[0]) for each in seen[1:]):
        raise InputError(
            f"all {len(image)} training images are equal as they are read; if they are drawings on "
            "a transparent ground, use another --data.background, else check the files"
        )
