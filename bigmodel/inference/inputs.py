"""What a command line names as inputs: files, folders, texts, lines of standard input."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bigmodel.data.sequences.ts_file import read_ts
from bigmodel.data.tables.csv_table import CsvFormat, stream_csv
from bigmodel.data.texts.text_file import Stream, open_text
from bigmodel.experiment import InputError
from bigmodel.inference.answering import Named
from bigmodel.predictor import Beginning, Kind

STANDARD = "-"
"""The argument that stands for standard input."""


def read_inputs(
    arguments: Sequence[str], kind: Kind, *, written: CsvFormat, column: str = "", cut: bool = False
) -> Iterator[Named]:
    """The inputs that arguments name, in order, each read when it is its turn.

    Args:
        arguments: files, folders of images, texts themselves; ``-`` or none is standard input.
        kind: what an input is.
        written: how the cells of tables are written.
        column: of a series, where a table has several.
        cut: whether the beginning of a text that is too long is enough.

    Raises:
        InputError: there is no such file, it is empty, or it has inputs of another kind.
    """
    for argument in arguments or [STANDARD]:
        found = _of_argument(argument, kind, written, column)
        first = next(found, None)
        if first is None:
            raise InputError(f"{_name(argument)} is empty; give at least one input")
        for each in itertools.chain([first], found):
            whole = isinstance(each.value, str) and kind == "text" and cut
            yield each._replace(value=Beginning(each.value)) if whole else each


def _name(argument: str) -> str:
    return "standard input" if argument == STANDARD else argument


def _of_argument(argument: str, kind: Kind, written: CsvFormat, column: str) -> Iterator[Named]:
    path = Path(argument)
    if kind == "image":
        yield from _images(path)
    elif kind == "sequence" and path.suffix in (".gz", ".ts"):
        for case in read_ts(path):
            yield Named(case.content.tolist(), f"{path}, line {case.line}")
    elif kind in ("text", "sample") and argument != STANDARD and not _is_file(path):
        yield Named(argument, repr(argument[:40]))
    else:
        yield from of_stream(_stream(argument), kind, written=written, column=column)


def of_stream(
    stream: Stream, kind: Kind, *, written: CsvFormat, column: str = ""
) -> Iterator[Named]:
    """The inputs in a text, each read when it is its turn.

    Rows are CSV with a header or lines of JSON, a series a column of CSV or JSON, a sequence is a
    line of JSON, and a text a line.

    Raises:
        InputError: It has inputs of another kind.
    """
    match kind:
        case "row":
            return _rows(stream, written)
        case "sequence":
            return _json_lines(stream)
        case "series":
            return _series(stream, written, column)
    return _lines(stream)


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a text may be no name that a file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _stream(argument: str) -> Stream:
    if argument == STANDARD:
        return Stream("standard input", sys.stdin)
    if not _is_file(Path(argument)):
        raise InputError(f"there is no file {argument[:200]}")
    return open_text(Path(argument))


def _images(path: Path) -> Iterator[Named]:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        yield from (Named(file, str(file)) for file in files if not file.name.startswith("."))
    elif path.is_file():
        yield Named(path, str(path))
    elif str(path) == STANDARD:
        yield Named(sys.stdin.buffer.read(), "standard input")
    else:
        raise InputError(f"there is no image {str(path)[:200]}")


def _lines(stream: Stream) -> Iterator[Named]:
    for number, line in enumerate(stream.lines, start=1):
        if line.strip():
            yield Named(line.rstrip("\n"), f"{stream.name}, line {number}")


def _json_lines(stream: Stream) -> Iterator[Named]:
    for line in _lines(stream):
        yield line._replace(value=from_json(line.value, line.name))


def from_json(text: str, name: str) -> Any:
    """The value of a text in JSON.

    Raises:
        InputError: it is no JSON; NaN and infinity are none.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is no JSON: {error}") from None


def _rows(stream: Stream, written: CsvFormat) -> Iterator[Named]:
    """Rows of CSV with a header, or a line of JSON each: names of columns to values."""
    lines = iter(stream.lines)
    first = next((line for line in lines if line.strip()), "")
    stream = stream._replace(lines=itertools.chain([first] if first else [], lines))
    if first.lstrip().startswith("{"):
        yield from _json_lines(stream)
        return
    for line, row in stream_csv(stream, written):
        yield Named(row, f"{stream.name}, line {line}")


def _series(stream: Stream, written: CsvFormat, column: str) -> Iterator[Named]:
    """One series: a column of a table, or numbers alone; or a series in JSON on each line."""
    lines = iter(stream.lines)
    first = next((line for line in lines if line.strip()), "")
    stream = stream._replace(lines=itertools.chain([first] if first else [], lines))
    if first.lstrip().startswith("["):
        yield from _json_lines(stream)
        return
    rows = [row for _, row in stream_csv(stream, written, fewest=1)]
    if not rows:
        return
    names = list(rows[0])
    if column not in names and len(names) > 1:
        raise InputError(
            f"{stream.name} has {len(names)} columns; say which is the series with "
            f"-- --data.column: {', '.join(names[:9])}"
        )
    chosen = column if column in names else names[0]
    yield Named([row[chosen] for row in rows], stream.name)
