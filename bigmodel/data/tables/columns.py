"""A table in memory: named columns of numbers or of text, with missing values."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bigmodel.data.personal.masking import Mask
from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import InputError


class Column(NamedTuple):
    """Values by row: float64 with NaN where one is missing, or ``str`` objects with "" there.

    Of a large table a text is its place in ``texts``, a whole number, and -1 where it is missing.
    """

    name: str
    values: np.ndarray
    texts: tuple[str, ...] | None = None

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.values.dtype.kind == "f"

    @property
    def missing(self) -> Bool[np.ndarray, " rows"]:
        """Where there is no value."""
        if self.numeric:
            return np.isnan(self.values)
        return self.values == "" if self.texts is None else self.values < 0

    def counts(self) -> Counter[str]:
        """How often rows have each text."""
        if self.texts is None:
            return Counter(self.values[~self.missing].tolist())
        counts = np.bincount(self.values[self.values >= 0], minlength=len(self.texts)).tolist()
        return Counter({text: n for text, n in zip(self.texts, counts, strict=True) if n})

    def distinct(self) -> tuple[np.ndarray, Int[np.ndarray, " rows"]]:
        """The different values of a column without gaps, in order, and the place of each row's."""
        if self.texts is None:
            return np.unique(self.values, return_inverse=True)
        names = np.array(sorted(self.counts()), object)
        return names, self.numbered({name: place for place, name in enumerate(names)})

    def numbered(self, number: Mapping[str, int]) -> Int[np.ndarray, " rows"]:
        """The number of each text, -1 where it has none or there is no text."""
        if self.texts is None:
            return np.array([number.get(text, -1) for text in self.values.tolist()], np.int64)
        return np.array([*(number.get(text, -1) for text in self.texts), -1])[self.values]

    def text(self, row: int) -> str:
        """The value of a row as text, empty where it is missing."""
        if self.texts is None or self.values[row] < 0:
            return "" if self.texts is not None else str(self.values[row])
        return self.texts[self.values[row]]


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
        columns = tuple(c._replace(values=c.values[rows]) for c in self.columns)
        return Frame(self.source, columns, self.lines[rows])

    def masked(self, mask: Mask) -> Frame:
        """The frame without the personal data of its texts."""
        if mask.key is None:
            return self
        masked = [
            column if column.numeric else column._replace(values=mask.array(column.values))
            for column in self.columns
        ]
        return self._replace(columns=tuple(masked))

    def find(self, name: str, *, option: str) -> Column:
        """The column of that name, as :func:`find_name` finds it."""
        found = find_name(name, self.names, source=self.source, option=option)
        return self.columns[self.names.index(found)]

    def without(self, names: Iterable[str], *, option: str) -> Frame:
        """The frame without these columns, each of which must exist."""
        left_out = {self.find(name, option=option).name for name in names}
        return self._replace(columns=tuple(c for c in self.columns if c.name not in left_out))

    def complete_rows(self) -> Int[np.ndarray, " rows"]:
        """The numbers of the rows without missing values.

        Raises:
            InputError: If there are none.
        """
        gaps = np.zeros(len(self.lines), bool)
        for column in self.columns:
            gaps |= column.missing
        if gaps.all():
            raise InputError(
                f"{self.source}: every row has a missing value; use another --data.fill than "
                "drop, or leave columns out with --data.ignore"
            )
        return np.flatnonzero(~gaps)


def find_name(name: str, names: Sequence[str], *, source: str, option: str) -> str:
    """The name of a column as the table has it.

    Raises:
        InputError: If there is none; the message names the option and the nearest column.
    """
    if normalized(name) in names:
        return normalized(name)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    raise InputError(f"{option}: {source} has no column {name!r}; did you mean {near!r}?")
