"""A table in memory: named columns of numbers or of text, with missing values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import InputError


class Column(NamedTuple):
    """Values by row: float64 with NaN where one is missing, or ``str`` objects with "" there."""

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
    """Columns with the same number of rows.

    ``source`` names the file or the package, and ``lines`` the line on which each row begins,
    counted from 1.
    """

    source: str
    columns: tuple[Column, ...]
    lines: Int[np.ndarray, " rows"]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def take(self, rows: np.ndarray) -> Frame:
        """The frame of these rows, given by index or as a mask."""
        columns = tuple(Column(name, values[rows]) for name, values in self.columns)
        return Frame(self.source, columns, self.lines[rows])

    def find(self, name: str, *, option: str) -> Column:
        """The column of that name, as :func:`find_name` finds it."""
        found = find_name(name, self.names, source=self.source, option=option)
        return self.columns[self.names.index(found)]

    def without(self, names: Iterable[str], *, option: str) -> Frame:
        """The frame without these columns, each of which must exist."""
        left_out = {self.find(name, option=option).name for name in names}
        return self._replace(columns=tuple(c for c in self.columns if c.name not in left_out))

    def complete(self) -> Frame:
        """The rows without missing values.

        Raises:
            InputError: If there are none.
        """
        gaps = np.any([column.missing for column in self.columns], axis=0)
        if gaps.all():
            raise InputError(
                f"{self.source}: every row has a missing value; use another --data.fill than "
                "drop, or leave columns out with --data.ignore"
            )
        return self.take(~gaps)


def find_name(name: str, names: Sequence[str], *, source: str, option: str) -> str:
    """The name of a column as the table has it.

    Raises:
        InputError: If there is none; the message names the option and the nearest column.
    """
    if normalized(name) in names:
        return normalized(name)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    raise InputError(f"{option}: {source} has no column {name!r}; did you mean {near!r}?")
