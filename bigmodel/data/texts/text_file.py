"""Text files of users: packed or not, with a byte order mark or without, whole or by line."""

from __future__ import annotations

import codecs
import contextlib
import csv
import functools
import gzip
import io
import os
import re
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np
from jaxtyping import Bool

from bigmodel.experiment import InputError

if TYPE_CHECKING:
    from _csv import Reader

LONGEST = 1 << 30
"""Characters of a cell, which the module ``csv`` limits to 131,072."""
GZIP = b"\x1f\x8b"
REFUSED = {
    b"PK\x03\x04": "a ZIP archive, as Excel workbooks are; save it as text (a table as CSV)",
    b"\xd0\xcf\x11\xe0": "an Office document; save it as text (a table as CSV)",
    b"PAR1": "a Parquet file; write it as CSV",
    b"%PDF": "a PDF; give a text file",
    b"BZh": "packed by bzip2; unpack it, or pack it by gzip",
    b"\xfd7zXZ": "packed by xz; unpack it, or pack it by gzip",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it, or pack it by gzip",
}
"""First bytes of files that hold no text, what they are, and what to do."""
BYTE_ORDER_MARKS = {
    # Those of UTF-32 come first, for that of little endian begins with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
WORD = re.compile(r"\w+|[^\w\s]")
JOINERS = "\u200c\u200d"
"""Within a word they decide how its letters join."""
MARKS = (GZIP, *REFUSED, *BYTE_ORDER_MARKS)


class Stream(NamedTuple):
    """Lines of text with their ends, read one after another, and where they are from."""

    name: str
    lines: Iterable[str]


def open_text(path: Path) -> Stream:
    """The lines of a file that may be too large for the memory, as :func:`read_text` reads it.

    It may be a pipe, whose lines are there as soon as they are written.

    Raises:
        InputError: The file cannot be read, or is no text; also while lines are read.
    """
    return Stream(str(path), _lines(str(path), lambda: path.open("rb")))


def text_of(file: BinaryIO, name: str) -> Stream:
    """The lines of a file or pipe that is open, and stays so, as :func:`open_text` reads it."""
    return Stream(name, _lines(name, lambda: contextlib.nullcontext(file)))


class _Whole(io.RawIOBase):
    """A file from its beginning, of which the first bytes have been read; it may be a pipe.

    ``start`` are those that tell what it holds, and no more than that takes: a pipe may have no
    others yet.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.start, self._file = b"", file
        while any(m.startswith(self.start) and m != self.start for m in MARKS):
            if not (byte := file.read(1)):
                break
            self.start += byte
        self._ahead = self.start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._ahead[: len(buffer)] or cast(Any, self._file).read1(len(buffer))
        self._ahead = self._ahead[len(chunk) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _lines(name: str, opened: Callable[[], AbstractContextManager[BinaryIO]]) -> Iterator[str]:
    try:
        with opened() as file:
            whole = _Whole(file)
            if whole.start.startswith(GZIP):
                whole = _Whole(cast(BinaryIO, gzip.GzipFile(fileobj=io.BufferedReader(whole))))
            for first, what in REFUSED.items():
                if whole.start.startswith(first):
                    raise InputError(f"{name} is {what}")
            marks = (e for mark, e in BYTE_ORDER_MARKS.items() if whole.start.startswith(mark))
            encoding = next(marks, "utf-8")
            with io.TextIOWrapper(io.BufferedReader(whole), encoding=encoding) as text:
                yield from text
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not {error.encoding} text: it has the byte "
            f"0x{error.object[error.start]:02x}; convert it to UTF-8"
        ) from None
    except (OSError, ValueError, EOFError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name[:200]} cannot be read: {reason}") from None


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where its first bytes say that it is gzipped.

    Raises:
        InputError: The file is missing, unreadable, damaged or empty.
    """
    try:
        content = path.read_bytes()
        if not content and path.is_fifo():
            raise InputError(
                f"{path} is a pipe that has been read; give a file where data is read again, as "
                "for --data.folds"
            )
        if content.startswith(GZIP):
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check --data.path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a directory; give a file") from None
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(path)[:200]} cannot be read: {reason}") from None
    if not content:
        raise InputError(f"{path} is empty; give a file with content")
    return content


def read_text(path: Path) -> str:
    """All of a file's text, its line ends as they are.

    Text is UTF-8, or what a byte order mark says, which is not part of the text.

    Raises:
        InputError: The file cannot be read, or is no text; the line of the first byte that is
            not UTF-8 is named.
    """
    text = decoded(read_bytes(path), str(path))
    if not text:
        raise InputError(f"{path} is empty; give a file with text")
    return text


def decoded(content: bytes, name: str) -> str:
    """The text of a content, without a byte order mark.

    Raises:
        InputError: It is no text; the line of the first byte that is not UTF-8 is named.
    """
    encoding = encoding_of(content[:200], name)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        lines = content[: error.start].splitlines(keepends=True) or [b""]
        ended = lines[-1].endswith((b"\n", b"\r"))
        raise InputError(
            f"{name}, line {len(lines) + ended} is not {encoding} text: "
            f"byte {0 if ended else len(lines[-1])} of the line is "
            f"0x{content[error.start]:02x}; convert the file to UTF-8"
        ) from None


def encoding_of(start: bytes, name: str) -> str:
    """The encoding of a text by its first bytes: that of a byte order mark, or UTF-8.

    Raises:
        InputError: they are not those of a text.
    """
    for first, what in REFUSED.items():
        if start.startswith(first):
            raise InputError(f"{name} is {what}")
    encoding = next((e for mark, e in BYTE_ORDER_MARKS.items() if start.startswith(mark)), "")
    # ASCII in UTF-16 has a zero in every other byte.
    if not encoding and start.count(0) > len(start) // 4:
        raise InputError(f"{name} is UTF-16 or no text; convert it to UTF-8")
    return encoding or "UTF-8"


def read_lines(path: Path) -> list[str]:
    """The lines of a file without their ends, and without blank lines at its end.

    A line ends in LF or CR LF; in CR, where these outnumber the others.

    Raises:
        InputError: As for :func:`read_text`, and if all lines are blank.
    """
    text = _ended_by_lf(read_text(path))
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"{path} is empty; give a file with text")
    return lines


def normalized(name: str) -> str:
    """A label or the name of a column as it is compared.

    Without blanks, byte order marks and zero-width spaces around it, and in Unicode's normal
    form C, so that names that look the same are the same.
    """
    return bare(unicodedata.normalize("NFC", name))


def lines_of_files(path: Path, form: str) -> Iterator[tuple[str, Path, str]]:
    """Of each line FILE<tab>TEXT that is not blank: what messages call it, its file, its text.

    A text may have tabs itself, behind something else.

    Args:
        path: the file of lines.
        form: how messages say what a line is to be.

    Raises:
        InputError: a line has no tab, no file or no text.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not (name := bare(name)) or not bare(text.partition("\t")[0]):
            what = "needs a file and a text" if tab else "has no tab"
            raise InputError(f"{path}, line {number} {what}; write {form}")
        yield f"{path}, line {number}: {name}", file_beside(path, name), normalized(text)


def bare(name: str) -> str:
    """A text without blanks, byte order marks and zero-width spaces around it."""
    return name.strip().strip("\ufeff\u200b").strip()


def file_beside(path: Path, name: str) -> Path:
    """The file that a line of another one names, relative to its folder.

    It may write accents as one character with their letter where the name of the file has two,
    as programs of macOS do, or the other way round.
    """
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    files = [path.parent / form for form in forms]
    return next((file for file in files if os.path.exists(file)), files[0])


def words_of(text: str) -> list[str]:
    """The words of a text, which are letters and digits with their marks, and every other sign.

    Vowels of Hindi, and those that Arabic and Hebrew write above and below, are such marks.
    """
    return (WORD if text.isascii() or not _has_marks(text) else _marked().word).findall(text)


def is_of_letters(word: str) -> bool:
    """Whether a word is letters with their marks alone."""
    return word.isalpha() or (not word.isascii() and _marked().mark.sub("", word).isalpha())


class _Marked(NamedTuple):
    """Which characters are marks, and patterns of words and of marks.

    Python counts marks as no part of a word. The patterns are slower than one without them.
    """

    are: Bool[np.ndarray, " character"]
    word: re.Pattern[str]
    mark: re.Pattern[str]


def _has_marks(text: str) -> bool:
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
    return bool(_marked().are[points].any())


@functools.cache
def _marked() -> _Marked:
    are = np.zeros(sys.maxunicode + 1, bool)
    for block in (range(0x300, 0x20000), range(0xE0100, 0xE01F0)):
        are[block] = [unicodedata.category(chr(at)).startswith("M") for at in block]
    are[list(map(ord, JOINERS))] = True
    # A set of ranges is searched much faster than one of characters.
    ends = np.flatnonzero(np.diff(are)).reshape(-1, 2)
    known = "".join(f"{chr(before + 1)}-{chr(last)}" for before, last in ends.tolist())
    return _Marked(are, re.compile(rf"\w[\w{known}]*|[^\w\s]"), re.compile(f"[{known}]"))


def csv_rows(lines: Iterable[str], delimiter: str, *, strict: bool = False) -> Reader:
    """The rows of a CSV file, whose cells may be as long as a document."""
    csv.field_size_limit(LONGEST)
    return csv.reader(lines, delimiter=delimiter, strict=strict)


def _ended_by_lf(text: str) -> str:
    text = text.replace("\r\n", "\n")
    return text.replace("\r", "\n") if text.count("\r") > text.count("\n") else text
