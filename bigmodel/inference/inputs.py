"""What a command line names as inputs: files, folders, texts, lines of standard input."""

from __future__ import annotations

import io
import itertools
import json
import math
import mmap
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel.data.sequences.ts_file import parse_ts
from bigmodel.data.tables.csv_table import CsvFormat, stream_csv
from bigmodel.data.texts.text_file import Stream, open_text, text_of
from bigmodel.experiment import InputError
from bigmodel.inference.answering import Named
from bigmodel.predictor import Beginning, Kind

STANDARD = "-"
"""The argument that stands for standard input."""
NPY = b"\x93NUMPY"
"""The first bytes of a file of an array."""
OF_NUMBERS: tuple[Kind, ...] = ("image", "sequence", "series", "sound", "frames")
"""Kinds of inputs that may be rows of an array."""
OF_FILES: tuple[Kind, ...] = ("image", "sound")
"""Kinds of inputs that are a file each."""
HEADER = 1 << 16


def read_inputs(
    arguments: Sequence[str], kind: Kind, *, written: CsvFormat, column: str = "", cut: bool = False
) -> Iterator[Named]:
    """The inputs that arguments name, in order, each read when it is its turn.

    Args:
        arguments: files, folders of these, texts themselves; ``-`` or none is standard input.
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
    if kind in OF_NUMBERS and path.suffix == ".npy" and _is_file(path):
        yield from _npy_file(path)
    elif kind == "frames":
        yield Named(path, str(path))
    elif kind in OF_FILES:
        yield from _files(path, kind)
    elif kind in ("text", "sample") and argument != STANDARD and not _is_file(path):
        if argument and _is_folder(path):
            raise InputError(
                f"{argument} is a folder; give a file with a text on each line, or a text by "
                "standard input"
            )
        yield Named(argument, repr(argument[:40]))
    else:
        yield from of_stream(_stream(argument), kind, written=written, column=column)


def _npy_file(path: Path) -> Iterator[Named]:
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    yield from of_npy(content, str(path))


def of_npy(content: bytes | mmap.mmap, name: str) -> Iterator[Named]:
    """The rows of an array of numbers in NumPy's format, of which nothing is unpickled.

    Raises:
        InputError: It is no such array.
    """
    head = io.BytesIO(content[:HEADER])
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        shape, by_column, dtype = readers[np.lib.format.read_magic(head)](head)
        if dtype.kind not in "uif" or by_column or len(shape) < 2:
            raise InputError("its array is not [row, ...] of numbers in C order")
        array = np.frombuffer(content, dtype, math.prod(shape), head.tell()).reshape(shape)
    except Exception as error:
        raise InputError(f"{name} is no .npy file of rows of numbers: {error}") from None
    for number, row in enumerate(array):
        yield Named(row, f"{name}, row {number}")


def of_stream(
    stream: Stream, kind: Kind, *, written: CsvFormat, column: str = ""
) -> Iterator[Named]:
    """The inputs in a text, each read when it is its turn.

    Rows are CSV with a header or lines of JSON, a series a column of CSV or JSON, sequences are
    lines of JSON or the lines of a ``.ts`` file, and a text is a line.

    Raises:
        InputError: It has inputs of another kind.
    """
    match kind:
        case "row":
            return _rows(stream, written)
        case "sequence":
            return _sequences(stream)
        case "series":
            return _series(stream, written, column)
    return _lines(stream)


def _is_file(path: Path) -> bool:
    """Whether there is such a file or pipe; a text may be no name that a file can have."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):
        return False


def _is_folder(path: Path) -> bool:
    """Whether there is such a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _stream(argument: str) -> Stream:
    if argument == STANDARD:
        return text_of(sys.stdin.buffer, "standard input")
    if not _is_file(Path(argument)):
        raise InputError(f"there is no file {argument[:200]}")
    return open_text(Path(argument))


def _files(path: Path, kind: Kind) -> Iterator[Named]:
    if _is_folder(path):
        files = sorted(file for file in path.rglob("*") if file.is_file())
        yield from (Named(file, str(file)) for file in files if not file.name.startswith("."))
    elif _is_file(path):
        yield Named(path, str(path))
    elif str(path) == STANDARD:
        yield Named(sys.stdin.buffer.read(), "standard input")
    else:
        raise InputError(f"there is no {kind} {str(path)[:200]}")


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


def _peeked(stream: Stream) -> tuple[str, Stream]:
    """The first line that is not blank, and the stream, all of it."""
    lines = iter(stream.lines)
    before = []
    for line in lines:
        before.append(line)
        if line.strip():
            break
    first = before[-1].lstrip() if before else ""
    return first, stream._replace(lines=itertools.chain(before, lines))


def _sequences(stream: Stream) -> Iterator[Named]:
    """Lines of a ``.ts`` file, whose head has keys and comments, or a line of JSON each."""
    first, stream = _peeked(stream)
    if not first.startswith(("@", "#")):
        yield from _json_lines(stream)
        return
    for case in parse_ts(stream):
        yield Named(case.content.tolist(), f"{stream.name}, line {case.line}")


def _rows(stream: Stream, written: CsvFormat) -> Iterator[Named]:
    """Rows of CSV with a header, or a line of JSON each: names of columns to values."""
    first, stream = _peeked(stream)
    if first.startswith("{"):
        yield from _json_lines(stream)
        return
    for line, row in stream_csv(stream, written, fewest=1):
        yield Named(row, f"{stream.name}, line {line}")


def _series(stream: Stream, written: CsvFormat, column: str) -> Iterator[Named]:
    """One series: a column of a table, or numbers alone; or a series in JSON on each line."""
    first, stream = _peeked(stream)
    if first.startswith("["):
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
