"""A table in memory: named columns of numbers or of text, with gaps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bigmodel.experiment import InputError


class Column(NamedTuple):
    """Values by row: float64 with NaN where one is missing, or text with "" there."""

    name: str
    values: np.ndarray

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.values.dtype.kind == "f"

    @property
    def missing(self) -> Bool[np.ndarray, " rows"]:
        """Where there is no value."""
        return np.isnan(self.values) if self.numeric else self.values == ""


class Frame(NamedTuple):
    """Columns of equally many rows.

    ``source`` and ``lines`` say where the rows are from: a file, and the line on which each
    begins, counted from 1.
    """

    source: str
    columns: tuple[Column, ...]
    lines: Int[np.ndarray, " rows"]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def take(self, rows: np.ndarray) -> Frame:
        """The frame of these rows, given as numbers or as a mask."""
        columns = tuple(Column(name, values[rows]) for name, values in self.columns)
        return Frame(self.source, columns, self.lines[rows])

    def find(self, name: str, *, option: str) -> int:
        """The number of the column of that name.

        Raises:
            InputError: If there is none; the message names the option and the nearest column.
        """
        if name in self.names:
            return self.names.index(name)
        near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.0)[0]
        raise InputError(f"{option}: {self.source} has no column {name!r}; did you mean {near!r}?")

    def without(self, names: Iterable[str], *, option: str) -> Frame:
        """The frame without these columns, each of which must be there."""
        left_out = {self.find(name, option=option) for name in names}
        kept = tuple(c for number, c in enumerate(self.columns) if number not in left_out)
        return self._replace(columns=kept)

    def complete(self) -> Frame:
        """The rows in which nothing is missing.

        Raises:
            InputError: If there is none.
        """
        gaps = np.any([column.missing for column in self.columns], axis=0)
        if gaps.all():
            raise InputError(
                f"{self.source}: every row has a missing value; use another --data.missing than "
                "drop, or leave columns out with --data.ignore"
            )
        return self.take(~gaps)
