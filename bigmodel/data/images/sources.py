"""Where labelled images come from, in the parts that they come in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigmodel.data.images.fashion_mnist import NAMES as FASHION_NAMES
from bigmodel.data.images.fashion_mnist import read_fashion_mnist
from bigmodel.data.images.folder import Files, Told, find_images, told_of
from bigmodel.data.images.pixels import Chosen, Found, Reading, pixels_of, prepare_pixels
from bigmodel.data.packaged import read_digits
from bigmodel.data.split import check_memory
from bigmodel.experiment import InputError

if TYPE_CHECKING:
    from bigmodel.data.images.options import ImageData


def read_parts(
    options: ImageData, known: tuple[str, ...] = ()
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...], Told | None]:
    """The parts that the data comes in, at least ``train``, and the names of the classes.

    Of a folder, where classes are ``known`` from training, it is the part ``test`` alone. ``image``
    of a part is an array or, where a folder has many images, :class:`Chosen`. What comes last tells
    of files where they are, by the numbers that are ``file`` of a part.

    Raises:
        InputError: If the images cannot be used.
    """
    if options.name == "fashion_mnist":
        train, test = read_fashion_mnist(options.path)
        return {"train": _arrays(*train), "test": _arrays(*test)}, FASHION_NAMES, None
    if options.name == "digits":
        table = read_digits()
        image = (table[:, :-1].reshape(-1, 8, 8, 1) / 16).astype(np.float32)
        names = tuple(str(digit) for digit in range(10))
        return {"train": _arrays(image, table[:, -1].astype(np.int32))}, names, None
    parts, names, found = _find(options, known)
    check_memory(
        f"the images of --data.batch-size {options.batch_size}",
        (options.batch_size, *found.reading.shape),
    )
    pixels = pixels_of(found, cache=options.cache, workers=options.threads)
    arrays, start = {}, 0
    for part, files in parts.items():
        rows = np.arange(start, start + len(files.label))
        start += len(rows)
        few = isinstance(pixels, np.ndarray) and not isinstance(pixels, np.memmap)
        chosen = pixels[rows] if few else Chosen(pixels, found, rows)
        arrays[part] = {**_arrays(chosen, files.label), "file": rows}
    folders = [files.folder for files in parts.values()]
    return arrays, names, told_of(found.paths, folders, Path(options.path))


def prepare_images(options: ImageData) -> None:
    """Decodes the images of a folder into the cache; there is nothing to do for others.

    Raises:
        InputError: If files are not images, or the folder cannot be used.
        StorageError: If the cache cannot be written.
    """
    if options.name == "folder":
        prepare_pixels(_find(options)[2], cache=options.cache, workers=options.threads)


def _find(
    options: ImageData, known: tuple[str, ...] = ()
) -> tuple[dict[str, Files], tuple[str, ...], Found]:
    """The files of each part, the names of the classes, and all files with how they are read."""
    roots = [Path(path) for path in (options.path, options.test_path) if path]
    parts, names = find_images(*roots, known=known)
    if options.folds and len(parts) > 1:
        raise InputError(
            f"--data.folds divides one folder, and {options.path} has folders of parts; give the "
            "one of train as --data.path"
        )
    reading = Reading(
        options.resize or options.size,
        "L" if options.channels == "grey" else "RGB",
        options.background,
    )
    paths = [path for files in parts.values() for path in files.paths]
    return parts, names, Found(paths, tuple(map(str, roots)), reading)


def _arrays(image: Any, label: np.ndarray) -> dict[str, Any]:
    return {"image": image, "label": label}
