"""The text of files, whatever their format, in pieces that fit the memory."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bigmodel.data.texts.shards.packed import unpacked
from bigmodel.data.texts.shards.paths import Format, format_of
from bigmodel.data.texts.text_file import csv_rows, encoding_of
from bigmodel.experiment import InputError

END = "<|endoftext|>"
"""What ends a document; where it stands in a text, it ends one there too."""
CHUNK = 1 << 16
ROWS = 256
"""Rows of a Parquet file that are read at a time."""
TEXT = "text"
"""The field that has the text, unless another one is named."""
ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Piece(NamedTuple):
    """A part of a text: whole lines where they are short enough, or a whole document.

    ``at`` is how many bytes of its file have been read.
    """

    text: str
    whole: bool
    at: int


def pieces(
    files: Iterable[Path], field: str, read: Callable[[int], None] = lambda _: None
) -> Iterator[Piece]:
    """The text of files in their order, with :data:`END` after each document.

    A text file is one document, or as many as it has ends. In the other formats each row that
    is not blank is one.

    Args:
        files: the files, of the formats that their names say.
        field: where JSON, CSV and Parquet have the text; empty for ``text``.
        read: is told how many bytes more were read.

    Raises:
        InputError: a file is damaged or cut, is no UTF-8 text, or lacks the field; the file is
            named, and the line where there are lines.
    """
    for path in files:
        before = 0
        for piece in READERS[format_of(path)](path, field or TEXT):
            yield piece
            read(piece.at - before)
            before = piece.at
        read(path.stat().st_size - before)


def _text(path: Path, _: str) -> Iterator[Piece]:
    with unpacked(path) as (raw, content):
        encoding = encoding_of(content.peek(200)[:200], str(path))
        decoder = codecs.getincrementaldecoder(encoding)()
        rest, lines, begun = "", 1, False
        while chunk := content.read(CHUNK):
            rest += _decoded(decoder, chunk, path, lines + rest.count("\n"))
            at = _cut(rest)
            if at:
                text, rest = rest[:at], rest[at:]
                lines += text.count("\n")
                begun = _is_begun(text, begun)
                yield Piece(text, False, raw.tell())
        rest += _decoded(decoder, b"", path, lines + rest.count("\n"))
        if rest:
            yield Piece(rest, False, raw.tell())
        if _is_begun(rest, begun):
            yield Piece(END, True, raw.tell())


def _decoded(decoder: codecs.IncrementalDecoder, chunk: bytes, path: Path, lines: int) -> str:
    try:
        return decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        line = lines + error.object[: error.start].count(b"\n")
        raise InputError(
            f"{path}, line {line} is not {error.encoding} text: it has the byte "
            f"0x{error.object[error.start]:02x}; convert the file to UTF-8"
        ) from None


def _is_begun(text: str, begun: bool) -> bool:
    """Whether a document has begun and not ended after a text, and whether it had before."""
    _, end, last = text.rpartition(END)
    return bool(last.strip()) or (begun and not end)


def _cut(text: str) -> int:
    """Where a text may be cut so that neither a line, an end nor a word is."""
    for mark in ("\n", END, " "):
        at = text.rfind(mark)
        if at >= 0:
            return at if mark == " " else at + len(mark)
    return max(0, len(text) - len(END))


def _document(text: Any, at: int, where: str) -> Iterator[Piece]:
    """The piece of a document, none of one that is missing or blank."""
    if text is not None and not isinstance(text, str):
        raise InputError(f"{where} is no text: {repr(text)[:40]}")
    if text and not text.isspace():
        yield Piece(text + END, True, at)


def _jsonl(path: Path, field: str) -> Iterator[Piece]:
    with unpacked(path) as (raw, content):
        for number, line in enumerate(content, start=1):
            if line.isspace():
                continue
            try:
                row = json.loads(line)
                text = row[field]
            except (ValueError, RecursionError) as error:
                reason = "" if line.endswith(b"\n") else ", and it is cut there"
                raise InputError(
                    f"{path}, line {number} is no JSON{reason}: {str(error)[:80]}"
                ) from None
            except (KeyError, TypeError, IndexError):
                raise InputError(
                    f"{path}, line {number} {_lacks(field, row if isinstance(row, dict) else {})}"
                ) from None
            if ESCAPED_SURROGATE.search(line) and isinstance(text, str):
                # JSON can escape half of a pair, which is no Unicode.
                text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            yield from _document(text, raw.tell(), f"{path}, line {number}: {field}")


def _csv(path: Path, field: str) -> Iterator[Piece]:
    with unpacked(path) as (raw, content):
        encoding = encoding_of(content.peek(200)[:200], str(path))
        lines = io.TextIOWrapper(content, encoding=encoding, newline="")
        rows = csv_rows(lines, "\t" if format_of(path) == "tsv" else ",")
        try:
            header = next(rows, [])
            if field not in header:
                raise InputError(f"{path} {_lacks(field, header)}")
            column = header.index(field)
            for row in rows:
                text = row[column] if len(row) > column else None
                yield from _document(text, raw.tell(), str(path))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, after line {rows.line_num}, is not {encoding} text: it has the byte "
                f"0x{error.object[error.start]:02x}; convert the file to UTF-8"
            ) from None
        except csv.Error as error:
            raise InputError(f"{path}, line {rows.line_num}: {error}") from None


def _parquet(path: Path, field: str) -> Iterator[Piece]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{path} is a Parquet file; pip install -e '.[parquet]'") from None
    size = path.stat().st_size
    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            names, total, done = file.schema_arrow.names, file.metadata.num_rows, 0
            if field not in names:
                raise InputError(f"{path} {_lacks(field, names)}")
            for batch in file.iter_batches(ROWS, columns=[field]):
                at = size * (done + len(batch)) // max(total, 1)
                for text in batch[0].to_pylist():
                    yield from _document(text, at, f"{path}: {field}")
                done += len(batch)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read; it may be cut: {reason[:120]}") from None


def _lacks(field: str, names: Sequence[str] | dict[str, Any]) -> str:
    return f"has no field {field!r}; --data.field is one of {', '.join(map(str, names)) or 'none'}"


READERS: dict[Format, Callable[[Path, str], Iterator[Piece]]] = {
    "text": _text,
    "jsonl": _jsonl,
    "csv": _csv,
    "tsv": _csv,
    "parquet": _parquet,
}
