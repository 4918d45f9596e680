"""A table in a text file: one header line, then one line a row."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.tables.columns import find_name
from bigmodel.data.texts.text_file import normalized, read_text
from bigmodel.experiment import InputError

DELIMITERS = {"tab": "\t", "semicolon": ";", "pipe": "|", "comma": ","}
"""Of several that fit equally well the first is taken: text has commas most often."""
MISSING = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None", "?")
SAMPLE = 200
"""Rows from which the delimiter is guessed."""
NUMERIC = r"\s*\W?\s*\d[\d.,'\s]*\W?\s*"


@dataclass(frozen=True, kw_only=True)
class CsvFormat:
    """Options of data that can be a CSV file: how its cells are written."""

    delimiter: Literal["auto", "comma", "semicolon", "tab", "pipe"] = "auto"
    """CSV: delimiter of cells; auto: the one that gives every line the same number of cells"""
    decimal: Literal["auto", "point", "comma"] = "auto"
    """CSV: decimal sign; auto: as the numbers of the table show"""
    thousands: Literal["auto", "none", "comma", "point", "space", "apostrophe"] = "auto"
    """CSV: sign between thousands; auto: any but the decimal sign, before groups of three digits"""
    date_order: Literal["auto", "day", "month"] = "auto"
    """CSV: what dates such as 03/04/2020 begin with; auto: as the dates of the table show"""
    missing: tuple[str, ...] = MISSING
    """CSV: words that mean a missing value, as an empty cell does; --data.missing alone: none"""


class Cells(NamedTuple):
    """The cells of a table by column, stripped, with "" for a missing value.

    ``source`` is the file, and ``lines`` the line on which each row begins, counted from 1.
    ``words`` has the words for a missing value that each column has.
    """

    source: str
    columns: dict[str, list[str]]
    lines: Int[np.ndarray, " rows"]
    words: dict[str, tuple[str, ...]]

    def find(self, name: str, *, option: str) -> str:
        """The name of a column as the table has it, as :func:`find_name` does."""
        return find_name(name, tuple(self.columns), source=self.source, option=option)


def read_csv(path: Path, options: CsvFormat, *, fewest: int = 2) -> Cells:
    """Reads a table, which may be gzipped.

    Cells may be quoted with ``"``, and blank lines do not count. Excel's line ``sep=;`` before the
    header says what the delimiter is. ``fewest`` is the least number of columns; by default there
    are a target and another one.

    Raises:
        InputError: If the file cannot be read, has no rows, or a line has more or fewer cells
            than the header; the message names the line.
    """
    content = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    said = re.match(r'"?sep=(.)"?[^\S\n]*(?=\n)', content, re.IGNORECASE)
    if said:
        content = content[said.end() :]
    if not content.strip():
        raise InputError(f"{path} is empty; give a table with a header and a line for each row")
    delimiter = DELIMITERS.get(options.delimiter) or (said[1] if said else _guess(content))
    header, lines, rows = _rows(path, content, delimiter, fewest)
    missing = {normalized(word) for word in options.missing}
    columns, words = {}, {}
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        words[name] = tuple(sorted(missing.intersection(cells) - {""}))
        columns[name] = ["" if cell in missing else cell for cell in cells]
    return Cells(str(path), columns, np.asarray(lines, np.int64), words)


def _guess(content: str) -> str:
    """The delimiter under which all lines have as many cells, and cells no other delimiter."""
    fits = {}
    for delimiter in DELIMITERS.values():
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        rows: list[list[str]] = []
        broken = False
        try:
            rows.extend(itertools.islice(filter(None, reader), SAMPLE))
        except csv.Error:
            broken = True
        if not rows:
            continue
        same = sum(len(row) == len(rows[0]) for row in rows)
        usable = len(rows[0]) > 1 and 2 * same > len(rows) and not broken
        cells = [cell for row in rows[1:] for cell in row]
        others = [d for d in DELIMITERS.values() if d != delimiter]
        # A comma within a number is no sign of another delimiter.
        whole = [c for c in cells if not any(d in c for d in others) or re.fullmatch(NUMERIC, c)]
        fits[delimiter] = (
            (1, same == len(rows), len(whole) / max(len(cells), 1))
            if usable
            else (0, len(rows[0]), delimiter not in content)
        )
    return max(fits, key=lambda delimiter: fits[delimiter], default=",")


def _rows(
    path: Path, content: str, delimiter: str, fewest: int
) -> tuple[list[str], list[int], list[list[str]]]:
    """The header, and the lines on which the other rows begin with their cells."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    lines, rows, begins = [], [], 1
    advice = (
        f"cells are divided by {delimiter!r}: choose another --data.delimiter, or quote a cell "
        "that has it"
    )
    try:
        for row in reader:
            if any(cell.strip() for cell in row) or len(row) > 1:
                lines.append(begins)
                rows.append([cell.strip() for cell in row])
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {begins} is not CSV: {error}; {advice}") from None
    header = [normalized(name) for name in rows[0]]
    _check_header(path, header, fewest, advice)
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {line} has {len(row)} cells, and the header has {len(header)}; "
                f"{advice}"
            )
    if len(rows) == 1:
        raise InputError(f"{path} has a header and no rows; add a line for each row")
    return header, lines[1:], rows[1:]


def _check_header(path: Path, header: Sequence[str], fewest: int, advice: str) -> None:
    if len(header) < fewest:
        raise InputError(
            f"{path} has only the column {header[0][:80]!r}; a table needs a target and at least "
            f"one other column; {advice}"
        )
    for number, name in enumerate(header):
        if not name:
            raise InputError(f"{path}: column {number + 1} has no name in the header; give it one")
        if name in header[:number]:
            raise InputError(f"{path}: the header has the column {name!r} twice; rename one")
