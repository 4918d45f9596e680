"""A table in a text file: one header line, then one line a row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bigmodel.data.tables.columns import Column, Frame
from bigmodel.data.texts.text_file import read_text
from bigmodel.experiment import InputError

MISSING = frozenset({"", "NA", "NaN", "nan", "?"})
"""Cells that say that there is no value."""

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


def read_csv(
    path: Path,
    *,
    delimiter: str = "auto",
    numeric: Mapping[str, bool] = MappingProxyType({}),
    fewest: int = 2,
) -> Frame:
    """Read a table, which may be gzipped (.gz).

    Args:
        path: The file, in UTF-8. Cells may be quoted with ``"``; blank lines do not count.
        delimiter: ``comma``, ``semicolon``, ``tab``, or ``auto``: the one that the header has
            most of.
        numeric: For some columns, whether they are numbers. Of the others those are in which
            more than half of the values can be read as numbers.
        fewest: How many columns there must be: by default a target and another one.

    Raises:
        InputError: If the file cannot be read, has no rows, a line has more or fewer cells than
            the header, or a column of numbers has text; the message names line and column.
    """
    content = _text(path)
    first = content.lstrip("\n").partition("\n")[0]
    separator = DELIMITERS.get(delimiter) or max(DELIMITERS.values(), key=first.count)
    header, lines, rows = _cells(path, content, separator, fewest)
    columns = (
        _column(path, name, [row[n] for row in rows], lines, numeric.get(name))
        for n, name in enumerate(header)
    )
    return Frame(str(path), tuple(columns), np.asarray(lines, np.int64))


def _text(path: Path) -> str:
    text = read_text(path).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise InputError(f"{path} is empty; give a table with a header and a line for each row")
    return text


def _cells(
    path: Path, content: str, separator: str, fewest: int
) -> tuple[list[str], list[int], list[list[str]]]:
    """The header, and the lines on which the other rows begin with their cells."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    lines, rows, begins = [], [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row) or len(row) > 1:
                lines.append(begins)
                rows.append([cell.strip() for cell in row])
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {begins} is no CSV: {error}") from None
    header = rows[0]
    _check_header(path, header, fewest)
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {line} has {len(row)} cells, and the header has {len(header)}; "
                "quote a cell that has the delimiter in it, or choose another --data.delimiter"
            )
    if len(rows) == 1:
        raise InputError(f"{path} has a header and no rows; add a line for each row")
    return header, lines[1:], rows[1:]


def _check_header(path: Path, header: Sequence[str], fewest: int) -> None:
    if len(header) < fewest:
        raise InputError(
            f"{path} has only the column {header[0]!r}; a table needs a target and at least one "
            "other column, divided by the --data.delimiter"
        )
    for number, name in enumerate(header):
        if not name:
            raise InputError(f"{path}: column {number + 1} has no name in the header; give it one")
        if name in header[:number]:
            raise InputError(f"{path}: the header has the column {name!r} twice; rename one")


def _column(
    path: Path, name: str, cells: Sequence[str], lines: Sequence[int], numeric: bool | None
) -> Column:
    cells = ["" if cell in MISSING else cell for cell in cells]
    if numeric is False:
        return Column(name, np.asarray(cells, np.str_))
    numbers = [_number(cell) for cell in cells]
    present = sum(cell != "" for cell in cells)
    found = sum(number is not None for number in numbers) - (len(cells) - present)
    if numeric is None and present and 2 * found <= present:
        return Column(name, np.asarray(cells, np.str_))
    for line, cell, number in zip(lines, cells, numbers, strict=True):
        if number is None:
            raise InputError(
                f"{path}, line {line}, column {name!r}: {cell!r} is no finite number, as other "
                "values of the column are; mend it, or in a table of features name the column in "
                "--data.categorical"
            )
    return Column(name, np.asarray(numbers, np.float64))


def _number(cell: str) -> float | None:
    """The cell as a number, NaN where it is empty, None where it is no finite number."""
    if cell == "":
        return math.nan
    try:
        number = float(cell)
    except ValueError:
        return None
    # Python reads 1_000 as a number; no other program does.
    return number if math.isfinite(number) and "_" not in cell else None
