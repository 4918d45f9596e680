"""Clips as a network reads them, by what a run knows of its clips."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from bigmodel.data.images.stacking import stacked
from bigmodel.data.split import check_memory
from bigmodel.experiment import Assets, InputError
from bigmodel.output import note
from bigmodel.predictor import Kind

VIDEOS = "videos.json"
CLIPS = "video"
"""The array of clips in a batch."""

Clip = UInt8[np.ndarray, "frame size size channel"]


class VideoReader(NamedTuple):
    """What a run knows of its clips: ``names`` of classes, and the ``shape`` of a clip."""

    names: tuple[str, ...]
    shape: tuple[int, int, int, int]

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "frames"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return (
            f"folders of a clip's frames, or arrays of {'x'.join(map(str, self.shape))} (frames, "
            "height, width, channels) from 0 to 1, or bytes"
        )

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``video`` float32 ``[batch, frame, size, size, channel]`` in [0, 1].

        An input is the path of a folder of frames, or an array: uint8, or numbers from 0 to 1.

        Raises:
            InputError: An input is neither.
        """
        return {CLIPS: np.stack([self._clip(each) for each in inputs])}

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`video_reader` makes this."""
        return {VIDEOS: json.dumps(self._asdict(), indent=1).encode()}

    def _clip(self, each: Any) -> Float32[np.ndarray, "frame size size channel"]:
        frames, size, _, channels = self.shape
        if isinstance(each, str | Path):
            mode: Literal["L", "RGB"] = "L" if channels == 1 else "RGB"
            return unit_range(stacked(frames_of(Path(each), frames), size=size, mode=mode))
        try:
            clip = np.asarray(each)
        except ValueError:
            clip = np.empty(0, object)
        if clip.dtype.kind not in "uif":
            raise InputError(f"it is no clip: {repr(each)[:40]}")
        if clip.ndim == 3:
            clip = clip[..., None]
        if clip.shape != self.shape:
            raise InputError(
                f"it is an array of {'x'.join(map(str, clip.shape))}, and the clips of the run are "
                f"{'x'.join(map(str, self.shape))}"
            )
        if clip.dtype == np.uint8:
            return unit_range(clip)
        # Comparisons are false where a number is none.
        if not ((clip >= 0) & (clip <= 1)).all():
            raise InputError("its numbers are not from 0 to 1; give these, or bytes as uint8")
        return clip.astype(np.float32)


def video_reader(assets: Assets) -> VideoReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[VIDEOS])
    return VideoReader(tuple(kept["names"]), tuple(kept["shape"]))


def unit_range(clip: UInt8[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Bytes as float32 in [0, 1]."""
    return clip.astype(np.float32) / np.float32(255)


def read_clips(
    folders: Sequence[Path], frames: int, size: int, mode: Literal["L", "RGB"]
) -> UInt8[np.ndarray, "clip frame size size channel"]:
    """So many frames of each clip, at equal distances, in the order of the files' names.

    Numbers in names are ordered by their values. Of a clip that has fewer frames, some are there
    twice.

    Raises:
        InputError: A folder has none, or one cannot be read.
    """
    check_memory(f"{len(folders)} clips", (len(folders), frames, size, size, len(mode)))
    files: list[Path] = []
    short = []
    for folder in folders:
        try:
            chosen = frames_of(folder, frames)
        except InputError as error:
            raise InputError(f"{folder} {error}") from None
        short += [folder] if len(set(chosen)) < frames else []
        files += chosen
    if short:
        note(
            f"{len(short)} clips have fewer than {frames} frames, such as {short[0]}; some of "
            "theirs are there twice"
        )
    pixels = stacked(files, size=size, mode=mode)
    return pixels.reshape(len(folders), frames, *pixels.shape[1:])


def frames_of(folder: Path, count: int) -> list[Path]:
    """The files of so many frames of a clip.

    Raises:
        InputError: There is none.
    """
    try:
        files = [
            file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")
        ]
    except OSError as error:
        raise InputError(f"cannot be read as a folder of frames: {error.strerror}") from None
    if not files:
        raise InputError("has no frames; put images into it")
    files.sort(key=_in_order)
    return [files[at] for at in np.linspace(0, len(files) - 1, count).round().astype(int)]


def _in_order(file: Path) -> tuple[list[tuple[str, int]], str]:
    """By what files are sorted, so that ``9.png`` comes before ``10.png``."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", file.name)
    return [(text, int(digits or 0)) for text, digits in parts], file.name
