"""Scenes as images and masks: the class of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bigmodel.data.batches import Arrays
from bigmodel.data.images.reading import (
    DECODING_ERRORS,
    ImageReader,
    image_reader,
    upright_sides,
)
from bigmodel.data.images.stacking import stacked
from bigmodel.data.parts import data_of
from bigmodel.data.scenes.composing import Scene
from bigmodel.data.scenes.scenes import SceneData, compose_scenes, scene_data
from bigmodel.data.split import split_rows
from bigmodel.data.texts.text_file import normalized, read_lines
from bigmodel.experiment import Assets, Data, InputError

UNDECIDED = 255
"""The class of a pixel that does not count."""
CLASSES = "classes.txt"


class Masks(NamedTuple):
    """Batches of images with masks, and what reads images; its first name is the background's."""

    data: Data
    reader: ImageReader


def load_masks(options: SceneData, assets: Assets | None = None) -> Masks:
    """Scenes, divided and made into batches.

    Batches are ``image`` float32 ``[batch, size, size, channel]`` in [0, 1], ``mask`` int32
    ``[batch, size, size]``, the class of each pixel or 255 where it does not count, and ``weight``
    float32 ``[batch]``. The splits are ``validation`` and ``test``, each absent where its fraction
    is 0. A folder has ``images`` and ``masks``, files with the same names but for their endings,
    and ``classes.txt``, a name a line, that of the background first; masks are grey images or
    images with a palette, whose values are the numbers of the classes.

    Args:
        options: Which scenes.
        assets: Files of a trained run: all scenes are then the split ``test`` for it.

    Raises:
        InputError: An option is out of range, a file is missing or cannot be used, or a trained
            run does not know a class.
    """
    reader = None if assets is None else image_reader(assets)

    def prepare(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        image = arrays["image"].astype(np.float32) / np.float32(255)
        return arrays | {"image": image, "mask": arrays["mask"].astype(np.int32)}

    if options.name != "folder":
        composed = compose_scenes(options, reader)
        return Masks(scene_data(composed, options, _arrays, prepare), composed.reader)
    parts, reader = _read(options, reader)
    size = (
        options.batch_size
        if assets is None
        else min(options.batch_size, len(parts["test"]["mask"]))
    )
    names = "\n".join(reader.names).encode()
    data = data_of(parts, size, prepare=prepare, deciding={CLASSES: names}, assets=reader.dump())
    inputs: dict[str, Any] = {part: parts[part]["image"] for part in data.splits}
    return Masks(data._replace(inputs=inputs), reader)


def _arrays(scenes: Sequence[Scene]) -> Arrays:
    return {name: np.stack([getattr(each, name) for each in scenes]) for name in ("image", "mask")}


def _read(options: SceneData, known: ImageReader | None) -> tuple[dict[str, Arrays], ImageReader]:
    """The parts of a user's folder, and what reads images as they were read."""
    folder = Path(options.path)
    size = options.size if known is None else known.shape[0]
    names = _names(folder)
    if known is not None:
        if unknown := [name for name in names if name not in known.names]:
            raise InputError(
                f"{folder / CLASSES} has the class {unknown[0]!r}, which the run was not trained on"
            )
        whole = _of_folder(folder, names, size)
        # The numbers of the run's classes; what is undecided stays so.
        number = np.arange(256, dtype=np.uint8)
        number[: len(names)] = [known.names.index(name) for name in names]
        whole = {**whole, "mask": number[whole["mask"]]}
        return {"train": whole, "test": whole}, known
    whole = _of_folder(folder, names, size)
    given = {}
    if options.test_path:
        other = Path(options.test_path)
        if _names(other) != names:
            raise InputError(f"{other / CLASSES} has other classes than {folder / CLASSES}")
        given = {"test": _of_folder(other, names, size)}
    count = len(whole["mask"])
    if count < 3:
        raise InputError(
            f"{folder / 'images'} has {count} image(s); three are the fewest to divide"
        )
    split = split_rows(options, count, given=given)
    parts = {
        part: {name: array[rows] for name, array in whole.items()} for part, rows in split.items()
    }
    return parts | given, ImageReader(names, whole["image"].shape[1:])


def _names(folder: Path) -> tuple[str, ...]:
    """The classes of a folder, the background's first."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; check --data.path")
    if not (folder / CLASSES).is_file():
        raise InputError(
            f"{folder / CLASSES} is missing; write the names of the classes, one a line, in the "
            "order of their numbers in the masks, the background's first"
        )
    names = tuple(normalized(line) for line in read_lines(folder / CLASSES))
    if not all(names) or len(set(names)) != len(names) or not 2 <= len(names) < UNDECIDED:
        raise InputError(
            f"{folder / CLASSES} needs 2 to {UNDECIDED - 1} names that differ, one on each line"
        )
    return names


def _of_folder(folder: Path, names: tuple[str, ...], size: int) -> Arrays:
    """Images uint8 ``[image, size, size, 3]`` and masks uint8, in the order of their names."""
    images, masks = (_files(folder / name) for name in ("images", "masks"))
    for one, others, kind in ((images, masks, "mask"), (masks, images, "image")):
        if missing := sorted(one.keys() - others.keys()):
            raise InputError(f"{one[missing[0]]} has no {kind} of the same name in {folder}")
    stems = sorted(images)
    pixels = stacked([images[stem] for stem in stems], size=size, mode="RGB")
    numbers = [_numbers(images[stem], masks[stem], len(names), size) for stem in stems]
    return {"image": pixels, "mask": np.stack(numbers)}


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names without their endings."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; put images into 'images' and masks into 'masks'")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.stem in found:
            raise InputError(f"{found[file.stem]} and {file} differ in their endings alone")
        found[file.stem] = file
    if not found:
        raise InputError(f"{folder} is empty; put files into it")
    return found


def _numbers(
    image: Path, mask: Path, classes: int, size: int
) -> UInt8[np.ndarray, "{size} {size}"]:
    """The classes of the pixels of an image by its mask, resized."""
    whole = upright_sides(image)
    try:
        with Image.open(mask) as opened:
            opened.load()
            drawn = opened
    except DECODING_ERRORS as error:
        raise InputError(f"{mask} cannot be read as an image: {error}") from None
    if drawn.mode not in ("L", "P", "1"):
        raise InputError(
            f"{mask} is an image of mode {drawn.mode}; a mask is grey or has a palette, and its "
            "values are the numbers of classes"
        )
    if drawn.size != whole:
        raise InputError(
            f"{mask} has {drawn.size[0]}x{drawn.size[1]} pixels, and its image {image.name} has "
            f"{whole[0]}x{whole[1]}; make them one size"
        )
    numbers = np.asarray(drawn).astype(np.uint8)
    if (wrong := numbers[(numbers >= classes) & (numbers != UNDECIDED)]).size:
        raise InputError(
            f"{mask} has the class {wrong[0]}, and {CLASSES} has {classes} names, from 0 on; add "
            f"names, or use {UNDECIDED} for what does not count"
        )
    nearest = Image.fromarray(numbers).resize((size, size), Image.Resampling.NEAREST)
    if ((resized := np.asarray(nearest)) == UNDECIDED).all():
        raise InputError(f"{mask} has no pixel that counts; remove it and {image.name}")
    return resized
