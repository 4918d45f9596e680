"""Options of scenes, and those that are composed: new ones at each step, fixed ones to test on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from bigmodel.data.batches import Arrays, Prepare, in_order
from bigmodel.data.images.reading import ImageReader
from bigmodel.data.labelled import LabelledData
from bigmodel.data.parts import fingerprint
from bigmodel.data.scenes.composing import Scene, by_class, compose
from bigmodel.data.scenes.cutouts import Material, digit_material, stamp_material
from bigmodel.data.split import check_memory, check_positive, split_rows
from bigmodel.experiment import WHOLE, Batch, Data, InputError

SCENE_STREAM = 3
"""Numbers one of the independent random streams of a seed."""
PARTS = ("validation", "test")
MOST = 32
"""Objects in a scene: no more than a detector finds, and far more than there is room for."""
GROUND = "background"


@dataclass(frozen=True)
class SceneData(LabelledData):
    """Which scenes, how they are divided, and their size."""

    name: Literal["digits", "stamps", "folder"] = "digits"
    """digits: handwritten ones on noise; stamps: Tux Paint's before photographs, six classes;
    folder: your own"""
    path: str = ""
    """folder: your images and what is in them; stamps: where they are, if not in Debian's place"""
    size: int = 40
    """height and width in pixels, to which images of a folder are resized"""
    objects: int = 4
    """digits and stamps: most objects in a scene, which may have none"""
    scenes: int = 2048
    """digits and stamps: scenes in an epoch, all of them new; a quarter are in each other part"""
    batch_size: int = 32
    """scenes in a batch"""

    def __post_init__(self) -> None:
        """Raises InputError where an option is out of range."""
        super().__post_init__()
        check_positive(self, "size", "objects", "scenes", "batch_size")
        if self.name == "folder" and not self.path:
            raise InputError("--data.name folder needs --data.path, a folder of images")
        if self.name == "digits" and self.path:
            raise InputError("--data.path is for stamps and folder; digits are bundled")
        if self.name != "folder" and self.test_path:
            raise InputError("--data.test-path is for --data.name folder; leave it out")
        if self.name != "folder" and self.size < 16:
            raise InputError(f"--data.size {self.size} is too small for objects; use 16 or more")
        if self.objects > MOST:
            raise InputError(f"--data.objects {self.objects} is too large; use {MOST} or less")


class Composed(NamedTuple):
    """Scenes of objects: of a row of a training batch, and those of the other parts."""

    train: Callable[[int, int, int], Scene]
    parts: dict[str, list[Scene]]
    reader: ImageReader
    digest: str


def compose_scenes(options: SceneData, reader: ImageReader | None = None) -> Composed:
    """Scenes of digits or stamps; no object is in two parts.

    ``train(seed, step, row)`` is a pure function. With the ``reader`` of a trained run all objects
    are in the part ``test``.

    Raises:
        InputError: What they are made of is not installed, or the run knows other scenes.
    """
    material = digit_material() if options.name == "digits" else stamp_material(options.path)
    channels = material.cutouts[0].pixels.shape[-1] - 1
    names = (GROUND, *material.names)
    size = options.size if reader is None else reader.shape[0]
    if reader is not None and (names, channels) != (reader.names, reader.shape[2]):
        raise InputError(
            f"--data.name {options.name} has the classes {', '.join(material.names)} in "
            f"{channels} channels, and the run was trained on {', '.join(reader.names[1:])} in "
            f"{reader.shape[2]}"
        )
    held = _divided(options, material, whole=reader is not None)
    classes = {
        part: by_class([material.cutouts[row] for row in rows]) for part, rows in held.items()
    }

    def scene(stream: Sequence[int], part: str) -> Scene:
        random = np.random.default_rng([*stream])
        return compose(random, classes[part], material, size=size, objects=options.objects)

    count = max(1, options.scenes // 4)
    most = max(options.batch_size, count * (len(held) - 1))
    # Of each pixel the colours and the class, one by one and as an array.
    check_memory(f"{most} scenes of {size}x{size} pixels", (2, most, size, size, channels + 1))
    parts = {
        part: [
            scene((options.split_seed, 1 + PARTS.index(part), row), part) for row in range(count)
        ]
        for part in PARTS
        if part in classes
    }
    arrays = {
        f"{part}/{name}": np.stack([getattr(each, name) for each in scenes])
        for part, scenes in parts.items()
        for name in ("image", "mask")
    }
    for number, row in enumerate(held["train"]):
        arrays[f"train/{number}"] = material.cutouts[row].pixels
    arrays |= {f"ground/{number}": ground for number, ground in enumerate(material.grounds)}
    shape = np.array([size, options.objects, options.scenes])
    return Composed(
        lambda seed, step, row: scene((seed, SCENE_STREAM, step, row), "train"),
        parts,
        reader or ImageReader(names, (size, size, channels)),
        fingerprint(arrays | {"shape": shape}),
    )


def _divided(options: SceneData, material: Material, *, whole: bool) -> dict[str, np.ndarray]:
    """The numbers of the objects of each part that has some."""
    every = np.arange(len(material.cutouts))
    if whole:
        return {"train": every, "test": every}
    labels = np.array([each.label - 1 for each in material.cutouts])
    split = split_rows(options, len(every), labels=labels, names=material.names)
    return {part: rows for part, rows in split.items() if len(rows)}


def scene_data(
    composed: Composed,
    options: SceneData,
    arrays_of: Callable[[Sequence[Scene]], Arrays],
    prepare: Prepare,
) -> Data:
    """Composed scenes as batches; ``arrays_of`` some scenes, then ``prepare`` of their arrays."""

    def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        scenes = [composed.train(seed, step, row) for row in range(options.batch_size)[rows]]
        weight = np.ones(len(scenes), np.float32)
        return prepare({**arrays_of(scenes), "weight": weight})

    size = options.batch_size
    parts = {part: arrays_of(scenes) for part, scenes in composed.parts.items()}
    inputs: dict[str, Any] = {part: arrays["image"] for part, arrays in parts.items()}
    return Data(
        train=train,
        splits={part: in_order(arrays, size, prepare=prepare) for part, arrays in parts.items()},
        batch_size=size,
        steps_per_epoch=max(1, options.scenes // size),
        fingerprint=composed.digest,
        assets=composed.reader.dump(),
        inputs=inputs,
    )
