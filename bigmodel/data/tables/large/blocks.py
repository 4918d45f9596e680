"""The cells of a CSV file of any size, a few megabytes at a time."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from bigmodel.data.personal.masking import Mask
from bigmodel.data.prepared.progress import Progress
from bigmodel.data.tables.csv_table import (
    DELIMITERS,
    SEPARATOR,
    Cells,
    CsvFormat,
    each_row,
    guess_delimiter,
)
from bigmodel.data.texts.text_file import BYTE_ORDER_MARKS, GZIP, encoding_of
from bigmodel.experiment import InputError

LARGE = 1 << 25
"""Bytes of a file from which on its columns are kept on disk."""
PACKED = 4
"""How many times fewer they are where it is gzipped."""
BYTES = 1 << 22
"""Of a file read at once."""
ROWS = 1 << 15
"""In a block of a file that has quotes."""
BLANKS = " \t\x0b\x0c\x1c\x1d\x1e\x1f"
"""Of ASCII, beside the ends of lines."""


def is_large(path: Path) -> bool:
    """Whether a file is read in blocks, and its columns are kept on disk."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return size > LARGE // (PACKED if size > LARGE // PACKED and _packed(file) else 1)
    except OSError:
        return False


def _packed(file: BinaryIO) -> bool:
    return file.read(len(GZIP)) == GZIP


def read_header(path: Path, options: CsvFormat, mask: Mask) -> tuple[str, ...]:
    """The names of the columns of a table.

    Raises:
        InputError: As for :func:`read_blocks`.
    """
    return tuple(next(read_blocks(path, options, mask.again())).columns)


def read_blocks(
    path: Path, options: CsvFormat, mask: Mask, progress: Progress | None = None
) -> Iterator[Cells]:
    """A table as :func:`~bigmodel.data.tables.csv_table.read_csv` reads it, in blocks of rows.

    Words for missing values are cells like others.

    Raises:
        InputError: As for that; also while blocks are read.
    """
    texts = _texts(path, mask, progress)
    first = next(texts, "")
    begins = 1
    if said := re.match(SEPARATOR, first, re.IGNORECASE):
        first, begins = first[said.end() + 1 :], 2
    if not first.strip():
        raise InputError(f"{path} is empty; give a table with a header and a line for each row")
    delimiter = DELIMITERS.get(options.delimiter) or (said[1] if said else guess_delimiter(first))
    ahead = io.StringIO(first, newline="\n")
    header = next(each_row(str(path), ahead, delimiter, 2, begins=begins))[1]
    rest = ahead.read()
    begins += first.count("\n", 0, len(first) - len(rest))
    some = False
    for cells in _blocks(str(path), itertools.chain([rest], texts), delimiter, header, begins):
        some = True
        yield cells
    if not some:
        raise InputError(f"{path} has a header and no rows; add a line for each row")


def _blocks(
    source: str, texts: Iterator[str], delimiter: str, header: Sequence[str], begins: int
) -> Iterator[Cells]:
    for text in texts:
        if '"' in text:
            # A cell may go over the end of this text, so all that follows is read row by row.
            lines = _lines(itertools.chain([text], texts))
            rows = each_row(source, lines, delimiter, 2, begins=begins, header=header)
            while block := list(itertools.islice(rows, ROWS)):
                yield _of_rows(source, header, block)
            return
        count = text.count("\n")
        columns = _split(text, count, delimiter, len(header))
        if columns is not None:
            lines_of = np.arange(begins, begins + count)
            yield Cells(source, dict(zip(header, columns, strict=True)), lines_of, {})
        else:
            # Blank lines are left out, and one of too many or too few cells is named.
            lines = io.StringIO(text, newline="\n")
            rows = each_row(source, lines, delimiter, 2, begins=begins, header=header)
            if block := list(rows):
                yield _of_rows(source, header, block)
        begins += count


def _lines(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        yield from io.StringIO(text, newline="\n")


def _of_rows(source: str, header: Sequence[str], rows: list[tuple[int, list[str]]]) -> Cells:
    columns = zip(*(row for _, row in rows), strict=True)
    cells = {name: list(column) for name, column in zip(header, columns, strict=True)}
    return Cells(source, cells, np.array([line for line, _ in rows], np.int64), {})


def _split(text: str, rows: int, delimiter: str, width: int) -> list[list[str]] | None:
    """The columns of lines without quotes; None where not every line has as many cells."""
    if not rows:
        return None
    # Each row begins with the end of the line before, so that one can see where rows begin.
    cells = f"\n{text[:-1]}".replace("\n", f"{delimiter}\n").split(delimiter)[1:]
    first = cells[::width]
    if len(cells) != rows * width or "".join(first).count("\n") != rows:
        return None
    columns = ["".join(first).split("\n")[1:], *(cells[at::width] for at in range(1, width))]
    if not text.isascii() or any(blank in text for blank in BLANKS):
        columns = [[*map(str.strip, column)] for column in columns]
    return columns


def _texts(path: Path, mask: Mask, progress: Progress | None) -> Iterator[str]:
    """Whole lines of a file, each with its end, which is a line feed."""
    lines, carried = 0, ""
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            packed = start.startswith(GZIP)
            binary = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
            read = 0
            marks = iter(BYTE_ORDER_MARKS.items())
            head = binary.read(BYTES)
            encoding = next((e for mark, e in marks if head.startswith(mark)), "utf-8")
            if encoding == "utf-8":
                encoding_of(head[:200], str(path))  # which refuses what is no text
            decoder = codecs.getincrementaldecoder(encoding)()
            while True:
                try:
                    text = decoder.decode(head, final=not head)
                except UnicodeDecodeError as error:
                    raise _no_text(path, error, lines, carried) from None
                if progress is not None:
                    progress.add(file.tell() - read)
                    read = file.tell()
                ended = not head
                text = carried + text
                # The end of this text may be the first half of one line's end.
                held = "\r" if text.endswith("\r") and not ended else ""
                text = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n")
                if ended:
                    text += "\n" * bool(text and not text.endswith("\n"))
                end = text.rfind("\n") + 1
                carried = text[end:] + held
                lines += text.count("\n")
                if end:
                    yield mask(text[:end])
                if ended:
                    return
                head = binary.read(BYTES)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(path)[:200]} cannot be read: {reason}") from None


def _no_text(path: Path, error: UnicodeDecodeError, lines: int, carried: str) -> InputError:
    before = (carried.encode() + error.object[: error.start]).replace(b"\r\n", b"\n")
    whole = before.replace(b"\r", b"\n").split(b"\n")
    return InputError(
        f"{path}, line {lines + len(whole)} is not {error.encoding.upper()} text: "
        f"byte {len(whole[-1])} of the line is 0x{error.object[error.start]:02x}; "
        "convert the file to UTF-8"
    )
