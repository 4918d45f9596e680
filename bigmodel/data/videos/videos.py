"""Labelled clips by name: digits that move, or folders of frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from bigmodel.data.batches import Arrays, in_order
from bigmodel.data.labelled import LabelledData
from bigmodel.data.packaged import read_digits
from bigmodel.data.parts import data_of, fingerprint
from bigmodel.data.prepared.written import is_written
from bigmodel.data.split import check_memory, check_positive, split_rows
from bigmodel.data.texts.text_file import normalized
from bigmodel.data.videos.reading import (
    Clip,
    VideoReader,
    read_clips,
    unit_range,
    video_reader,
)
from bigmodel.experiment import WHOLE, Assets, Batch, Data, InputError

CLIP_STREAM = 4
"""Numbers one of the independent random streams of a seed."""
DIRECTIONS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
NAMES = tuple(f"{digit} {direction}" for digit in range(10) for direction in DIRECTIONS)
PARTS = ("validation", "test")
SIDE = 8
"""Height and width of a digit."""


@dataclass(frozen=True)
class VideoData(LabelledData):
    """Which clips, how they are divided, and their size."""

    name: Literal["digits", "folder"] = "digits"
    """digits: a handwritten one that moves up, down, left or right, 40 classes; folder: your own"""
    path: str = ""
    """folder: a folder with a folder for each class, with a folder of frames for each clip"""
    frames: int = 6
    """frames of a clip, at equal distances where a folder has more"""
    size: int = 20
    """height and width in pixels, to which frames of a folder are resized"""
    channels: Literal["grey", "rgb"] = "rgb"
    """folder: whether frames are read as greyscale or in colour"""
    clips: int = 4096
    """digits: clips in an epoch, all of them new; an eighth are in each other part"""
    batch_size: int = 64
    """clips in a batch"""

    def __post_init__(self) -> None:
        """Raises InputError where an option is out of range."""
        super().__post_init__()
        check_positive(self, "frames", "size", "clips", "batch_size")
        if self.name == "folder" and not self.path:
            raise InputError("--data.name folder needs --data.path, a folder with a folder a class")
        if self.name == "digits" and (self.path or self.test_path):
            raise InputError("--data.path is for --data.name folder; digits are bundled")
        if self.name == "digits" and (self.frames < 2 or self.size < SIDE + self.frames):
            raise InputError(
                f"--data.size {self.size} and --data.frames {self.frames}: digits move in 2 frames "
                f"or more, and need {SIDE} pixels and one more for each"
            )


class Videos(NamedTuple):
    """Batches of clips, and what encodes them."""

    data: Data
    reader: VideoReader


def load_videos(options: VideoData, assets: Assets | None = None) -> Videos:
    """Clips, divided and made into batches.

    Batches are ``video`` float32 ``[batch, frame, size, size, channel]`` in [0, 1], ``label``
    int32 ``[batch]`` and ``weight`` float32 ``[batch]``. The splits are ``validation`` and
    ``test``, each absent where its fraction is 0.

    Args:
        options: Which clips.
        assets: Files of a trained run: all clips are then the split ``test`` for it.

    Raises:
        InputError: An option is out of range, a frame cannot be read, or a trained run does not
            know a class or the size of the clips.
    """
    reader = None if assets is None else video_reader(assets)
    if options.name == "digits":
        return _digits(options, reader)
    return _folder(options, reader)


def _prepared(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return arrays | {"video": unit_range(arrays["video"])}


def _digits(options: VideoData, known: VideoReader | None) -> Videos:
    """New clips at each step, of digits that are in one part each."""
    table = read_digits()
    ink = np.rint(table[:, :-1].reshape(-1, SIDE, SIDE) * (255 / 16)).astype(np.uint8)
    digit = table[:, -1].astype(np.int32)
    if known is not None:
        frames, size, _, channels = known.shape
        if known.names != NAMES or channels != 1:
            raise InputError("--data.name digits has other clips than those the run was trained on")
        options = replace(options, frames=frames, size=size)
        parts = {"train": np.arange(len(ink)), "test": np.arange(len(ink))}
    else:
        names = [str(number) for number in range(10)]
        parts = split_rows(options, len(ink), labels=digit, names=names)

    def clips(part: str, streams: list[tuple[int, ...]]) -> Arrays:
        rows = parts[part]
        made = []
        for stream in streams:
            random = np.random.default_rng([*stream])
            row, way = rows[random.integers(len(rows))], random.integers(len(DIRECTIONS))
            clip = moving(random, ink[row], list(DIRECTIONS.values())[way], options)
            made.append((clip, digit[row] * len(DIRECTIONS) + way))
        return {
            "video": np.stack([clip for clip, _ in made]),
            "label": np.array([label for _, label in made], np.int32),
        }

    def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        chosen = range(options.batch_size)[rows]
        arrays = clips("train", [(seed, CLIP_STREAM, step, row) for row in chosen])
        return _prepared({**arrays, "weight": np.ones(len(chosen), np.float32)})

    count = max(1, options.clips // 8)
    most = max(options.batch_size, 2 * count)
    check_memory(f"{most} clips", (2, most, options.frames, options.size, options.size))
    held = {
        part: clips(part, [(options.split_seed, 1 + number, row) for row in range(count)])
        for number, part in enumerate(PARTS)
        if part in parts and len(parts[part])
    }
    arrays = {f"{part}/{name}": a for part, of in held.items() for name, a in of.items()}
    shape = np.array([options.frames, options.size, options.clips])
    digest = fingerprint({**arrays, "train": ink[parts["train"]], "shape": shape})
    reader = known or VideoReader(NAMES, (options.frames, options.size, options.size, 1))
    size = options.batch_size
    inputs: dict[str, Any] = {part: of["video"] for part, of in held.items()}
    data = Data(
        train=train,
        splits={part: in_order(of, size, prepare=_prepared) for part, of in held.items()},
        batch_size=size,
        steps_per_epoch=max(1, options.clips // size),
        fingerprint=digest,
        assets=reader.dump(),
        inputs=inputs,
    )
    return Videos(data, reader)


def moving(
    random: np.random.Generator,
    ink: UInt8[np.ndarray, "side side"],
    direction: tuple[int, int],
    options: VideoData,
) -> Clip:
    """A digit that moves by one or more pixels a frame, within a frame of noise."""
    fastest = (options.size - SIDE) // (options.frames - 1)
    speed = random.integers(1, max(1, min(3, fastest)) + 1)
    span = speed * (options.frames - 1)
    clip = random.integers(0, 60, (options.frames, options.size, options.size)).astype(np.uint8)
    start = []
    for step in direction:
        low, high = (
            (span, options.size - SIDE) if step < 0 else (0, options.size - SIDE - span * step)
        )
        start.append(random.integers(low, high + 1))
    for number, frame in enumerate(clip):
        top, left = (at + step * speed * number for at, step in zip(start, direction, strict=True))
        place = frame[top : top + SIDE, left : left + SIDE]
        np.maximum(place, ink, out=place)
    return clip[..., None]


def _folder(options: VideoData, known: VideoReader | None) -> Videos:
    """Clips of a user's folder."""
    frames, size, channels = options.frames, options.size, 1 if options.channels == "grey" else 3
    if known is not None:
        frames, size, _, channels = known.shape
    shape = (frames, size, size, channels)
    whole, names = _read(Path(options.path), shape, fewest=2 if known is None else 1)
    if known is not None:
        reader = known
        whole = _renamed(whole, names, reader.names, options.path)
        parts = {"train": whole, "test": whole}
    else:
        reader, given = VideoReader(names, shape), {}
        if options.test_path:
            other, others = _read(Path(options.test_path), shape)
            given = {"test": _renamed(other, others, names, options.test_path)}
        labels = whole["label"]
        split = split_rows(options, len(labels), labels=labels, names=names, given=given)
        parts = {
            part: {name: array[rows] for name, array in whole.items()}
            for part, rows in split.items()
        } | given
    count = min(options.batch_size, len(whole["label"])) if known else options.batch_size
    deciding = {"names": "\n".join(reader.names).encode()}
    data = data_of(parts, count, prepare=_prepared, deciding=deciding, assets=reader.dump())
    inputs: dict[str, Any] = {part: parts[part]["video"] for part in data.splits}
    return Videos(data._replace(inputs=inputs), reader)


def _renamed(arrays: Arrays, names: tuple[str, ...], to: tuple[str, ...], path: str) -> Arrays:
    """Labels that count in the order of other names."""
    if unknown := [name for name in names if name not in to]:
        raise InputError(f"{path} has the class {unknown[0]!r}, which was not trained on")
    number = np.array([to.index(name) for name in names], np.int32)
    return {**arrays, "label": number[arrays["label"]]}


def _read(
    path: Path, shape: tuple[int, int, int, int], *, fewest: int = 1
) -> tuple[Arrays, tuple[str, ...]]:
    """All clips of a folder, and the names of its classes, ``fewest`` or more."""
    frames, size, _, channels = shape
    classes: dict[str, list[Path]] = {}
    for folder in _folders(path):
        if not (clips := _folders(folder)):
            raise InputError(f"{folder} has no clips; put a folder of frames for each into it")
        classes.setdefault(normalized(folder.name), []).extend(clips)
    if len(names := tuple(sorted(classes))) < fewest:
        raise InputError(
            f"{path} has {len(names)} classes, a folder each; it needs {fewest} or more"
        )
    every = [clip for name in names for clip in classes[name]]
    label = np.repeat(np.arange(len(names), dtype=np.int32), [len(classes[name]) for name in names])
    video = read_clips(every, frames, size, "L" if channels == 1 else "RGB")
    return {"video": video, "label": label}, names


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise InputError(f"{str(path)[:200]} is no folder; check --data.path")
    return sorted(
        each
        for each in path.iterdir()
        if each.is_dir() and not each.name.startswith(".") and not is_written(each)
    )
