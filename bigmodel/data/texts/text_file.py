"""UTF-8 text from a file that may be gzipped, whole or line by line."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from bigmodel.experiment import InputError


def read_text(path: Path) -> str:
    """All of a file's text, its line ends as they are.

    Raises:
        InputError: The file is missing, unreadable, empty or no UTF-8.
    """
    content = _read(path)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"--data.path {path} is not UTF-8 text: byte {error.start} is "
            f"0x{content[error.start]:02x}; convert the file to UTF-8"
        ) from None


def read_lines(path: Path) -> list[str]:
    """A file's lines without their ends, which are LF or CR LF and nothing else.

    Raises:
        InputError: As for :func:`read_text`; the line that is no UTF-8 is named.
    """
    lines = []
    content = _read(path).removesuffix(b"\n")
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            lines.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, line {number} is not UTF-8 text: byte {error.start} of the line is "
                f"0x{line[error.start]:02x}; convert the file to UTF-8"
            ) from None
    return lines


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"--data.path {path} is a directory; give a text file")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise InputError(f"--data.path {path} does not exist; give a text file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"--data.path {path} cannot be read: {error}") from None
    if not content:
        raise InputError(f"--data.path {path} is empty; give a file with text")
    return content
