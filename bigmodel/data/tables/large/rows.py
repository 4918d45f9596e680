"""Rows of a table on disk: as a user has them, and as the features that a network reads."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from bigmodel.data.batches import Batches
from bigmodel.data.tables.columns import Column, Frame
from bigmodel.data.tables.dates import EPOCH, Dates
from bigmodel.data.tables.encoding import Categories, Encoder, Scaling
from bigmodel.data.tables.kinds import Kind


def cells_of(frame: Frame, kinds: Mapping[str, Kind]) -> dict[str, Sequence[Any]]:
    """The cells of a frame, made on access: texts, numbers, dates as ISO 8601, None for none."""
    columns = {column.name: column for column in frame.columns}
    return {
        name: Batches(len(frame.lines), functools.partial(_cell, columns[name], kind))
        for name, kind in kinds.items()
    }


def _cell(column: Column, kind: Kind, row: int) -> Any:
    if not column.numeric:
        return column.text(row)
    value = float(column.values[row])
    if np.isnan(value):
        return None
    if not isinstance(kind, Dates):
        return value
    date = EPOCH + timedelta(microseconds=round(value * 86_400e6))
    return date.isoformat(" ") if kind.times else f"{date:%Y-%m-%d}"


class RowFeatures:
    """The features of rows of a frame, each made when it is asked for."""

    def __init__(self, frame: Frame, encoder: Encoder) -> None:
        columns = {column.name: column for column in frame.columns}
        self._encoder = encoder
        self._columns = [
            (columns[rule.name], _places(columns[rule.name], rule)) for rule in encoder.columns
        ]

    def __call__(self, rows: Int[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows features"]:
        """The features of these rows."""
        taken = []
        for (column, places), rule in zip(self._columns, self._encoder.columns, strict=True):
            values = column.values[rows]
            if isinstance(rule, Categories) and places is not None:
                taken.append(Column(column.name, places[values], rule.names))
            else:
                taken.append(column._replace(values=values))
        return self._encoder.matrix(Frame("", tuple(taken), rows))


def _places(column: Column, rule: Scaling | Categories) -> np.ndarray | None:
    """The place of each of a column's texts among the categories, -1 where it has none."""
    if not isinstance(rule, Categories) or column.texts is None:
        return None
    place = {name: index for index, name in enumerate(rule.names)}
    # The last one is that of a missing text, which is -1.
    return np.array([*(place.get(text, -1) for text in column.texts), -1], np.int32)
