"""Scenes as images and boxes: what is where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bigmodel.data.batches import Arrays
from bigmodel.data.images.reading import ImageReader, image_reader, upright_sides
from bigmodel.data.parts import data_of
from bigmodel.data.scenes.coco import Annotated, read_coco
from bigmodel.data.scenes.composing import Scene
from bigmodel.data.scenes.scenes import SceneData, compose_scenes, scene_data
from bigmodel.data.split import split_rows
from bigmodel.experiment import Assets, Data, InputError
from bigmodel.predictor import Kind


class BoxReader(NamedTuple):
    """What encodes images, with the sides in pixels that their boxes are told in."""

    images: ImageReader

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "image"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return self.images.inputs

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``image`` as of :class:`ImageReader`, and ``sides`` float32 ``[batch, 2]``.

        The sides are width and height of the image as it is given.

        Raises:
            InputError: An input is no image.
        """
        encoded = self.images.encode(inputs)
        return encoded | {"sides": np.array([_sides(each) for each in inputs], np.float32)}


def _sides(each: Any) -> tuple[int, int]:
    """Width and height in pixels of what can be read as an image."""
    if isinstance(each, str | Path | bytes):
        return upright_sides(each)
    height, width = np.shape(each)[:2]
    return width, height


class Boxes(NamedTuple):
    """Batches of images with boxes, and what reads images; its names are the classes'."""

    data: Data
    reader: BoxReader


def load_boxes(options: SceneData, assets: Assets | None = None) -> Boxes:
    """Scenes, divided and made into batches.

    Batches are ``image`` float32 ``[batch, size, size, channel]`` in [0, 1], ``boxes`` float32
    ``[batch, object, 4]``, the left, top, right and bottom edges in shares of the image,
    ``labels`` int32 ``[batch, object]``, the number of the class from 1 on, 0 for no object, and
    ``weight`` float32 ``[batch]``. The splits are ``validation`` and ``test``, each absent where
    its fraction is 0. A folder has images, and ``annotations.json`` in COCO's format.

    Args:
        options: Which scenes.
        assets: Files of a trained run: all scenes are then the split ``test`` for it.

    Raises:
        InputError: An option is out of range, a file is missing or cannot be used, or a trained
            run does not know a class.
    """
    known = None if assets is None else image_reader(assets)
    if options.name == "folder":
        return _of_folder(options, known)
    composed = compose_scenes(options, known)

    def arrays_of(scenes: Sequence[Scene]) -> Arrays:
        found = [Annotated(each.boxes, each.labels) for each in scenes]
        image = np.stack([each.image for each in scenes])
        return {"image": image, **_padded(found, options.objects)}

    data = scene_data(composed, options, arrays_of, _prepared)
    return Boxes(data, BoxReader(composed.reader))


def _prepared(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return arrays | {"image": arrays["image"].astype(np.float32) / np.float32(255)}


def _padded(found: Sequence[Annotated], most: int) -> dict[str, np.ndarray]:
    """The boxes and labels of each image, with label 0 for no object."""
    boxes = np.zeros((len(found), most, 4), np.float32)
    labels = np.zeros((len(found), most), np.int32)
    for row, each in enumerate(found):
        boxes[row, : len(each.labels)] = each.boxes
        labels[row, : len(each.labels)] = each.labels
    return {"boxes": boxes, "labels": labels}


def _of_folder(options: SceneData, known: ImageReader | None) -> Boxes:
    """Batches of a user's folder."""
    whole = read_coco(Path(options.path), options.size if known is None else known.shape[0])
    if known is None:
        if (count := len(whole.found)) < 3:
            raise InputError(f"{whole.path} lists {count} image(s); three are the fewest to divide")
        reader = ImageReader(whole.names, whole.image.shape[1:])
        given = {}
        if options.test_path:
            given = {"test": read_coco(Path(options.test_path), options.size).told_as(whole.names)}
        split = split_rows(options, len(whole.found), given=given)
        parts = {part: whole.of_rows(rows) for part, rows in split.items()} | given
        size = options.batch_size
    else:
        reader, whole = known, whole.told_as(known.names)
        parts = {"train": whole, "test": whole}
        size = min(options.batch_size, len(whole.found))
    most = max(1, *(len(each.labels) for part in parts.values() for each in part.found))
    arrays = {part: {"image": of.image, **_padded(of.found, most)} for part, of in parts.items()}
    names = "\n".join(reader.names).encode()
    data = data_of(arrays, size, prepare=_prepared, deciding={"names": names}, assets=reader.dump())
    inputs: dict[str, Any] = {part: parts[part].image for part in data.splits}
    return Boxes(data._replace(inputs=inputs), BoxReader(reader))
