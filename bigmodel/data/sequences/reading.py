"""Sequences and series as a network reads them, by what a run knows of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from bigmodel.data.images.reading import ImageReader, image_reader
from bigmodel.data.tables.numbers import Numbers
from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Kind

SEQUENCES, SERIES = "sequences.json", "series.json"
TOO_FAR = "it has a number that is too far from those of training"


class SequenceReader(NamedTuple):
    """What a run knows of its sequences.

    ``names`` are the classes, ``time`` is the maximum number of steps, ``mean`` and ``deviation``
    are those of each channel over the training part; a channel of deviation 0 is read as 0.
    """

    names: tuple[str, ...]
    time: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def vocab_size(self) -> None:
        """Steps are numbers."""

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "sequence"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return f".ts files, or up to {self.time} steps of {len(self.mean)} numbers each"

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``sequence`` float32 ``[batch, time, channel]``, and ``length`` int32 ``[batch]``.

        An input has a list of numbers for each step, one for each channel.

        Raises:
            InputError: An input is none of these, or is longer than those of training.
        """
        return self.padded([self._values(each) for each in inputs])

    def padded(self, cases: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Standardised values, with zeros after the end of each, and their lengths.

        Raises:
            InputError: A value is so far from those of training that it is no number of 32 bits.
        """
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        constant = deviation == 0
        divisor = np.where(constant, 1.0, deviation)
        sequence = np.zeros((len(cases), self.time, len(mean)), np.float32)
        for row, values in zip(sequence, cases, strict=True):
            with np.errstate(over="ignore"):
                row[: len(values)] = np.where(constant, 0, (values - mean) / divisor)
        if not np.isfinite(sequence).all():
            raise InputError(TOO_FAR)
        return {"sequence": sequence, "length": np.array([len(c) for c in cases], np.int32)}

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`sequence_reader` makes this."""
        return {SEQUENCES: json.dumps(self._asdict(), indent=1).encode()}

    def _values(self, each: Any) -> np.ndarray:
        values = numbers(each)
        if values.ndim == 1 and len(self.mean) == 1:
            values = values[:, None]
        if values.ndim != 2 or values.shape[1] != len(self.mean) or not len(values):
            shown = "x".join(map(str, values.shape))
            raise InputError(
                f"it is an array of {shown}, and a sequence has a list of {len(self.mean)} numbers "
                "for each step"
            )
        if len(values) > self.time:
            raise InputError(
                f"it has {len(values)} steps, and the sequences of the run had up to {self.time}; "
                "cut it"
            )
        return values


def sequence_reader(assets: Assets) -> SequenceReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[SEQUENCES])
    return SequenceReader(
        tuple(kept["names"]), kept["time"], tuple(kept["mean"]), tuple(kept["deviation"])
    )


class RowReader(NamedTuple):
    """Images as sequences of their rows from the top."""

    images: ImageReader

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.images.names

    @property
    def vocab_size(self) -> None:
        """Steps are numbers."""

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return self.images.kind

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return self.images.inputs

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``sequence`` and ``length`` of the rows of images, as :class:`ImageReader` reads these.

        Raises:
            InputError: As for that.
        """
        return self.rows(self.images.encode(inputs)["image"])

    def rows(self, image: Float32[np.ndarray, "batch height width channel"]) -> dict[str, Any]:
        """A step a row, a channel a value in it."""
        count, height = image.shape[:2]
        return {
            "sequence": image.reshape(count, height, -1),
            "length": np.full(count, height, np.int32),
        }


def row_reader(assets: Assets) -> RowReader:
    """The reader that a run has kept in its files."""
    return RowReader(image_reader(assets))


class SeriesReader(NamedTuple):
    """What a run knows of its series.

    ``mean`` and ``scale`` are those of the training part, ``window`` is the number of values that
    a forecast is made from, ``horizon`` that of the steps from the last of them to the forecast.
    """

    name: str
    mean: float
    scale: float
    window: int
    horizon: int
    written: Numbers

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "series"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return (
            f"a column of a CSV file, or a list of numbers, of which the last {self.window} count"
        )

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``sequence`` float32 ``[batch, window, 1]``, and ``length``, the window everywhere.

        Raises:
            InputError: An input is no list of numbers, or shorter than a window.
        """
        values = np.stack([self._window(each) for each in inputs])
        with np.errstate(over="ignore"):
            standardised = ((values - self.mean) / self.scale).astype(np.float32)
        if not np.isfinite(standardised).all():
            raise InputError(TOO_FAR)
        length = np.full(len(values), self.window, np.int32)
        return {"sequence": standardised[..., None], "length": length}

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`series_reader` makes this."""
        kept = {**self._asdict(), "written": self.written._asdict()}
        return {SERIES: json.dumps(kept, indent=1).encode()}

    def _window(self, each: Any) -> np.ndarray:
        if isinstance(each, list | tuple) and any(isinstance(value, str) for value in each):
            each = [self.written.read(v) if isinstance(v, str) else v for v in each[-self.window :]]
            if None in each:
                raise InputError("one of its last values is missing, or no number; fill it in")
        values = numbers(each)
        if values.ndim != 1:
            raise InputError("it is no list of numbers")
        if len(values) < self.window:
            raise InputError(
                f"it has {len(values)} values, and a forecast is made from {self.window}; give more"
            )
        return values[-self.window :]


def series_reader(assets: Assets) -> SeriesReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[SERIES])
    return SeriesReader(**{**kept, "written": Numbers(**kept["written"])})


def numbers(each: Any) -> np.ndarray:
    """A list of numbers, or of lists of these, as float64.

    Raises:
        InputError: It is none, or one of them is not finite or too large for 32 bits.
    """
    try:
        array = np.asarray(each)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "uif":
        raise InputError(f"it is no list of numbers: {repr(each)[:40]}")
    if not (np.abs(array) <= np.finfo(np.float32).max).all():
        raise InputError("it has a number that is not finite, or too large for 32 bits")
    return array.astype(np.float64)
