"""A table in a text file: one header line, then one line a row."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.personal.masking import NO_MASK, Mask
from bigmodel.data.tables.columns import find_name
from bigmodel.data.texts.text_file import Stream, csv_rows, normalized, read_text
from bigmodel.experiment import InputError

DELIMITERS = {"tab": "\t", "semicolon": ";", "pipe": "|", "comma": ","}
"""Of several that fit equally well the first is taken: text has commas most often."""
MISSING = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None", "?")
SEPARATOR = r'"?sep=(.)"?[^\S\n]*(?=\n)'
"""Excel's line that says what the delimiter is."""
BY_OPTION = "choose another --data.delimiter"
BY_LINE = "begin with a line such as sep=;"
"""What to do where the delimiter is the wrong one, in data and in other tables."""
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


def read_csv(
    path: Path,
    options: CsvFormat,
    *,
    fewest: int = 2,
    mask: Mask = NO_MASK,
    remedy: str = BY_OPTION,
) -> Cells:
    """Reads a table, which may be gzipped.

    Cells may be quoted with ``"``, and blank lines do not count. Excel's line ``sep=;`` before the
    header says what the delimiter is. ``fewest`` is the least number of columns; by default there
    are a target and another one. ``mask`` replaces personal data before anything else is done, and
    ``remedy`` is what to do where the delimiter is the wrong one.

    Raises:
        InputError: If the file cannot be read, has no rows, or a line has more or fewer cells
            than the header; the message names the line.
    """
    content = mask(read_text(path).replace("\r\n", "\n").replace("\r", "\n"))
    said = re.match(SEPARATOR, content, re.IGNORECASE)
    if said:
        content = content[said.end() :]
    if not content.strip():
        raise InputError(f"{path} is empty; give a table with a header and a line for each row")
    delimiter = DELIMITERS.get(options.delimiter) or (said[1] if said else guess_delimiter(content))
    header, lines, rows = _rows(path, content, delimiter, fewest, remedy)
    missing = {normalized(word) for word in options.missing}
    columns, words = {}, {}
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        words[name] = tuple(sorted(missing.intersection(cells) - {""}))
        columns[name] = ["" if cell in missing else cell for cell in cells]
    return Cells(str(path), columns, np.asarray(lines, np.int64), words)


def stream_csv(
    stream: Stream, options: CsvFormat, *, fewest: int = 2
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table that may be too large for the memory, and the line of each.

    A row has the cells by the name of their column, as :func:`read_csv` reads them, but what the
    table itself says of its delimiter counts more than the options, which are those of other data.

    Raises:
        InputError: As for that; also while rows are read.
    """
    lines = iter(stream.lines)
    ahead = list(itertools.islice(lines, SAMPLE))
    begins = 1
    said = re.match(SEPARATOR, ahead[0], re.IGNORECASE) if ahead else None
    if said:
        ahead, begins = ahead[1:], 2
    delimiter = said[1] if said else DELIMITERS.get(options.delimiter)
    delimiter = delimiter or guess_delimiter("".join(ahead))
    missing = {normalized(word) for word in options.missing}
    header: list[str] = []
    for line, row in each_row(
        stream.name,
        itertools.chain(ahead, lines),
        delimiter,
        fewest,
        begins=begins,
        remedy=BY_LINE,
    ):
        if not header:
            header = row
        else:
            cells = ("" if cell in missing else cell for cell in row)
            yield line, dict(zip(header, cells, strict=True))


def guess_delimiter(content: str) -> str:
    """The delimiter under which all lines have as many cells, and cells no other delimiter."""
    fits = {}
    for delimiter in DELIMITERS.values():
        reader = csv_rows(io.StringIO(content, newline=""), delimiter, strict=True)
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
    path: Path, content: str, delimiter: str, fewest: int, remedy: str
) -> tuple[list[str], list[int], list[list[str]]]:
    """The header, and the lines on which the other rows begin with their cells."""
    lines = io.StringIO(content, newline="")
    found = list(each_row(str(path), lines, delimiter, fewest, remedy=remedy))
    if len(found) == 1:
        raise InputError(f"{path} has a header and no rows; add a line for each row")
    return found[0][1], [line for line, _ in found[1:]], [row for _, row in found[1:]]


def each_row(
    source: str,
    lines: Iterable[str],
    delimiter: str,
    fewest: int,
    *,
    begins: int = 1,
    header: Sequence[str] = (),
    remedy: str = BY_OPTION,
) -> Iterator[tuple[int, list[str]]]:
    """The header and the rows, each with the line on which it begins.

    The lines begin with the line ``begins``, and with the header unless that is given.

    Raises:
        InputError: A line is no row of the table.
    """
    reader = csv_rows(lines, delimiter, strict=True)
    advice = f"cells are divided by {delimiter!r}: {remedy}, or quote a cell that has it"
    first = begins - 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row) or len(row) > 1:
                cells = [cell.strip() for cell in row]
                if not header:
                    cells = header = [normalized(name) for name in cells]
                    _check_header(source, header, fewest, advice)
                if len(cells) != len(header):
                    raise InputError(
                        f"{source}, line {begins} has {len(cells)} cells, and the header has "
                        f"{len(header)}; {advice}"
                    )
                yield begins, cells
            begins = first + reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{source}, line {begins} is not CSV: {error}; {advice}") from None


def _check_header(source: str, header: Sequence[str], fewest: int, advice: str) -> None:
    if len(header) < fewest:
        raise InputError(
            f"{source} has only the column {header[0][:80]!r}; a table needs a target and at least "
            f"one other column; {advice}"
        )
    for number, name in enumerate(header):
        if not name:
            raise InputError(
                f"{source}: column {number + 1} has no name in the header; give it one"
            )
        if name in header[:number]:
            raise InputError(f"{source}: the header has the column {name!r} twice; rename one")
