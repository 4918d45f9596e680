"""What only its owner should read: files of keys, tokens and passphrases."""

from __future__ import annotations

import argparse
import getpass
import importlib.util
import os
import stat
import unicodedata
import warnings
from pathlib import Path

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.output import warn

VARIABLE = "BIGMODEL_PASSPHRASE"
OPTION = "--passphrase-file"


def check_installed(what: str) -> None:
    """Raises InputError where the package ``cryptography`` is missing, which ``what`` needs."""
    if importlib.util.find_spec("cryptography") is None:
        raise InputError(f"{what} needs the package cryptography: pip install -e '.[protect]'")


def read_secret(path: Path) -> bytes:
    """The content of a file, with a warning where others than its owner can read it."""
    with naming(path, "read"):
        mode = path.stat().st_mode
        content = path.read_bytes()
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        warn(f"{path} can be read by others than its owner: chmod 600 {path}")
    return content


def read_line(path: Path, option: str) -> str:
    """The only line of a file that an option names.

    Raises:
        InputError: it is empty, or there are several, or it is no text.
        StorageError: it cannot be read.
    """
    content = read_secret(path)
    try:
        (line,) = content.decode().strip("\r\n").splitlines()
    except ValueError:
        line = ""
    if not line.strip():
        raise InputError(f"{option} {path} must hold one line of text, which is not empty")
    return line


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """Adds the option that names a file with a passphrase."""
    help_text = f"of an encrypted export (default: ${VARIABLE}, or a prompt)"
    parser.add_argument(OPTION, type=Path, metavar="FILE", help=help_text)


def read_passphrase(file: Path | None, path: Path, *, new: bool = False) -> bytes:
    """A passphrase from a file, or the environment, or else from the terminal.

    Args:
        file: holds it on its only line.
        path: what it is to open, or to close.
        new: whether it is chosen now, and is therefore asked for twice.

    Raises:
        InputError: there is none.
        StorageError: the file cannot be read.
    """
    text = read_line(file, OPTION) if file is not None else os.environ.get(VARIABLE, "")
    if not text:
        with warnings.catch_warnings():
            # Of getpass, which would read it where it is seen.
            warnings.simplefilter("error", getpass.GetPassWarning)
            try:
                text = getpass.getpass(f"Passphrase of {path}: ")
                if new and text and getpass.getpass("Again: ") != text:
                    raise InputError("these are two passphrases; type the same one twice")
            except (getpass.GetPassWarning, EOFError):
                text = ""
    if not text:
        raise InputError(
            f"{path} needs a passphrase: give it in ${VARIABLE}, on a terminal, or to a command of "
            f"launch.py by {OPTION}"
        )
    return unicodedata.normalize("NFC", text).encode()
