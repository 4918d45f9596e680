"""A table divided into parts: at once where it is large, and its features batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.batches import Arrays, Prepare
from bigmodel.data.prepared.cache import prepared
from bigmodel.data.tables.encoding import Scaling
from bigmodel.data.tables.large.rows import RowFeatures
from bigmodel.data.tables.reading import TABLE, TableReader, check_finite, table_reader

if TYPE_CHECKING:
    from bigmodel.data.tables.columns import Frame
    from bigmodel.data.tables.sources import Read
    from bigmodel.data.tables.table import TableData

VERSION = 1
"""Of a division; another one where the same columns and options give other parts."""
NEUTRAL = ("path", "test_path", "cache", "batch_size", "mask", "mask_names")
"""Options that do not decide a division, or do so by the content of columns."""


class Divided(NamedTuple):
    """The numbers of the rows of each part, their targets, and what encodes their features."""

    rows: Mapping[str, Int[np.ndarray, " rows"]]
    values: Mapping[str, np.ndarray]
    reader: TableReader


def divide_once(
    options: TableData, read: Read, divide: Callable[[TableData, Read], Divided]
) -> Divided:
    """The division of a table, which is kept where the table is.

    Raises:
        InputError: As ``divide`` does, and for a value that is too far from those of training.
    """
    if not read.whole.content:
        return divide(options, read)
    said = {name: value for name, value in asdict(options).items() if name not in NEUTRAL}
    digests = [source.content for source in (read.whole, read.test) if source is not None]
    if read.test is not None and not read.test.content:
        return _checked(divide(options, read), read)
    key = {"version": VERSION, "columns": digests, "options": said}

    def make(folder: Path) -> None:
        rows, values, reader = _checked(divide(options, read), read)
        for part in rows:
            np.save(folder / f"{part}-rows.npy", rows[part].astype(np.int64))
            np.save(folder / f"{part}-values.npy", values[part])
        (folder / TABLE).write_bytes(reader.dump()[TABLE])

    folder = prepared("division", key, make, cache=options.cache)
    parts = ("train", "validation", "test")
    return Divided(
        {part: np.load(folder / f"{part}-rows.npy", mmap_mode="r") for part in parts},
        {part: np.load(folder / f"{part}-values.npy", mmap_mode="r") for part in parts},
        table_reader({TABLE: (folder / TABLE).read_bytes()}),
    )


def _checked(divided: Divided, read: Read) -> Divided:
    """Raises InputError where a feature is no number of 32 bits, which are not all made here."""
    encoder = divided.reader.encoder
    for source in (read.whole, read.test):
        columns = {column.name: column for column in source.frame.columns} if source else {}
        for rule in encoder.columns if columns else ():
            if isinstance(rule, Scaling):
                values = columns[rule.name].values
                with np.errstate(over="ignore"):
                    ends = np.array([np.nanmin(values), np.nanmax(values)], np.float64)
                    features = ((ends - rule.mean) / rule.scale).astype(np.float32)
                check_finite(features[:, None], (rule.name,))
    return divided


def dense(divided: Divided, read: Read, part: str) -> Arrays:
    """The arrays of a part, with all of its features."""
    frame: Frame = read.of(part).frame.take(divided.rows[part])
    target = divided.reader.target
    return {"features": divided.reader.features(frame), target.key: divided.values[part]}


def batched(divided: Divided, read: Read) -> tuple[dict[str, Arrays], Prepare]:
    """The arrays of each part, and what makes batches of them.

    Of a table on disk they have the numbers of rows, of which the features of a batch are made.
    """
    reader, parts = divided.reader, dict[str, Arrays]()
    made: dict[str, RowFeatures] = {}
    for part, rows in divided.rows.items():
        source = read.of(part)
        if not source.content:
            parts[part] = dense(divided, read, part)
            continue
        name = "row" if source is read.whole else "test_row"
        made.setdefault(name, RowFeatures(source.frame, reader.encoder))
        parts[part] = {name: rows, reader.target.key: divided.values[part]}
        if part != "train":
            held = tuple(
                c._replace(values=c.values[rows]) for c in source.frame.columns if not c.numeric
            )
            reader.encoder.warn_of_unseen(source.frame._replace(columns=held))

    def prepare(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, features_of in made.items():
            if name in batch:
                found = features_of(batch.pop(name))
                found[batch["weight"] == 0] = 0
                batch["features"] = found
        return batch

    return parts, prepare
