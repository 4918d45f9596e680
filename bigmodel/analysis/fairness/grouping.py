"""Groups of examples, by what their source or a file says of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.lookup import Lookup
from bigmodel.data.tables.csv_table import BY_LINE, CsvFormat, read_csv
from bigmodel.data.tables.sources import values_of
from bigmodel.experiment import InputError

MISSING = "(missing)"
FEW = 10
"""A column of numbers with at most so many different values has a group for each."""
MANY = 100


class Groups(NamedTuple):
    """Groups and their names in order, and the number of the group of each example."""

    name: str
    names: tuple[str, ...]
    number: Int[np.ndarray, " example"]


class Grouping(NamedTuple):
    """What groups are made of.

    ``columns`` are those of the data or of the file ``listed``, if there is one; numbers are
    divided at ``edges``, or else into ``bins`` of about the same size. Of several columns, those
    of few numbers are not divided.
    """

    columns: tuple[str, ...]
    listed: Path | None = None
    bins: int = 4
    edges: tuple[float, ...] = ()


def make_groups(grouping: Grouping, column: Lookup, split: str) -> Groups:
    """Groups by one column, or by the values of several together.

    Raises:
        InputError: a column is not there, or has too many values; the nearest one is named. Or
            the edges divide nothing.
    """
    names = grouping.columns
    if grouping.listed is not None:
        names, values = read_list(grouping.listed, names, column, split)
    else:
        values = [column(split, name, option="--by") for name in names]
    edges = [
        _edges_of(name, each, grouping.edges, alone=len(names) == 1)
        for name, each in zip(names, values, strict=True)
    ]
    if grouping.edges and not any(edges):
        raise InputError(
            f"--edges divide nothing: {' and '.join(names)} are texts or few numbers, which are "
            "groups themselves; leave --edges out, or give one column of numbers alone"
        )
    labels = [divided(each, grouping.bins, at) for each, at in zip(values, edges, strict=True)]
    found = dict.fromkeys(zip(*labels, strict=True))
    # Each column keeps the order of its own groups.
    place = [{label: at for at, label in enumerate(ordered(some))} for some in labels]
    whole = sorted(found, key=lambda one: [at[label] for at, label in zip(place, one, strict=True)])
    title = " and ".join(names)
    if len(whole) > MANY:
        raise InputError(
            f"--by {title} has {len(whole)} different values, which are no groups; choose another "
            "column, or divide numbers by --bins or --edges"
        )
    number = {labels: at for at, labels in enumerate(whole)}
    rows = np.array([number[one] for one in zip(*labels, strict=True)], np.int64)
    return Groups(title, tuple(" \N{MIDDLE DOT} ".join(map(str, one)) for one in whole), rows)


class Label(NamedTuple):
    """The group of a value: sorted by its place, and known by its name."""

    place: float
    name: str

    def __str__(self) -> str:
        """Its name."""
        return self.name


def ordered(labels: Sequence[Label]) -> list[Label]:
    """The different labels, by place and then by name."""
    return sorted(set(labels))


def _edges_of(
    name: str, values: np.ndarray, edges: Sequence[float], *, alone: bool
) -> Sequence[float]:
    """The edges at which a column is divided; none where its values are groups themselves.

    Raises:
        InputError: all values are on the same side of each edge.
    """
    if not edges or values.dtype.kind != "f":
        return ()
    different = np.unique(values[~np.isnan(values)])
    if len(different) <= FEW and not alone:
        return ()
    if len(np.unique(np.searchsorted(sorted(edges), different, side="right"))) == 1:
        raise InputError(
            f"--edges do not divide {name!r}, whose values are {_exact(different[0])} to "
            f"{_exact(different[-1])}; choose others between them, or leave --edges out"
        )
    return edges


def divided(values: np.ndarray, bins: int, edges: Sequence[float]) -> list[Label]:
    """The group of each value of a column.

    Texts are groups themselves, and so are few different numbers, unless there are ``edges``.
    Other numbers are divided at their quantiles; a group is called by the least and the greatest
    value in it. A missing value is a group of its own, the last one.
    """
    last = Label(math.inf, MISSING)
    if values.dtype.kind != "f":
        return [Label(0.0, str(value)) if value != "" else last for value in values]
    present = values[~np.isnan(values)]
    different = np.unique(present)
    if edges:
        cuts = np.asarray(sorted(edges), float)
        names = [f"below {_exact(cuts[0])}"]
        names += [f"{_exact(a)} to below {_exact(b)}" for a, b in itertools.pairwise(cuts)]
        names += [f"{_exact(cuts[-1])} and more"]
        at = np.searchsorted(cuts, values, side="right")
    elif len(different) <= FEW:
        names = [_exact(value) for value in different]
        at = np.searchsorted(different, values)
    else:
        cuts = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1], method="higher"))
        at = np.searchsorted(cuts, values, side="right")
        inside = [values[at == n] for n in range(len(cuts) + 1)]
        names = [
            f"{_exact(np.nanmin(some))} to {_exact(np.nanmax(some))}" if len(some) else ""
            for some in inside
        ]
    return [
        last if math.isnan(value) else Label(float(n), names[n])
        for value, n in zip(values, at.tolist(), strict=True)
    ]


def _exact(value: np.floating) -> str:
    """The shortest text of a number that no other number has."""
    return str(value + 0.0).removesuffix(".0")  # of the two zeros, the one without a sign


def read_list(
    path: Path, names: Sequence[str], column: Lookup, split: str
) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The columns of a table of groups, for each example of a split.

    Its first column is one that the data has too, such as the ``path`` of an image; it says which
    examples a row is about. Of an example without a row the values are missing. Without names all
    other columns are taken.

    Raises:
        InputError: the file cannot be read, has no such column or two rows for the same, or none
            of its rows is about an example of the split.
    """
    if not path.exists():
        raise InputError(
            f"--groups {path} does not exist; give a table whose first column the data have"
        )
    cells = read_csv(path, CsvFormat(), fewest=1, remedy=BY_LINE)
    key, *others = cells.columns
    if not others:
        raise InputError(
            f"--groups {path} has only the column {key!r}; add one that says which group each is in"
        )
    chosen = tuple(cells.find(name, option="--by") for name in names) or tuple(others)
    row_of: dict[str, int] = {}
    for row, value in enumerate(cells.columns[key]):
        if row_of.setdefault(value, row) != row:
            raise InputError(f"--groups {path} has two rows for {value!r}; remove one")
    keys = [written(value) for value in column(split, key, option=f"--groups {path}")]
    if not any(value in row_of for value in keys):
        raise InputError(
            f"--groups {path} has a row for none of the {len(keys)} examples: its {key!r} is such "
            f"as {next(iter(row_of))!r}, and that of the data such as {keys[0]!r}"
        )
    rows = np.array([row_of.get(value, -1) for value in keys])
    found = []
    for name in chosen:
        every = values_of(str(path), name, cells.columns[name], None, CsvFormat())
        values = every[np.maximum(rows, 0)]
        values[rows < 0] = np.nan if values.dtype.kind == "f" else ""
        found.append(values)
    return chosen, found


def written(value: str | float) -> str:
    """A value as a table has it: whole numbers without a decimal point."""
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else repr(float(value))
