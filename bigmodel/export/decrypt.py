"""Decrypts an export into a folder, for runtimes that read only plain files.

    python launch.py decrypt exports/cnn --passphrase-file passphrase.txt --out /dev/shm/cnn

bigmodel.load, predict and serve read an encrypted export without this, where its format is run or
huggingface, and write nothing of it to a disk.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from bigmodel.experiment import InputError
from bigmodel.export.export import new_folder
from bigmodel.protection.sealing import sealed_file, unseal
from bigmodel.protection.secrets import add_passphrase, read_passphrase


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="encrypted export")
    add("--out", type=Path, required=True, metavar="DIR", help="new folder")
    add_passphrase(parser)


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Writes the folder, which only its owner can read.

    Raises:
        InputError: for an export or a passphrase that cannot be used.
        StorageError: for files that cannot be read or written.
    """
    if options:
        raise InputError("decrypt takes nothing after --")
    sealed = sealed_file(parsed.path)
    if sealed is None:
        raise InputError(f"{parsed.path} is no encrypted export; export --encrypt writes one")
    passphrase = read_passphrase(parsed.passphrase_file, parsed.path)
    with new_folder(parsed.out.resolve()) as folder:
        folder.chmod(0o700)

        def make(name: str) -> IO[bytes]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            return (folder / name).open("xb")

        unseal(sealed, passphrase, make)
    print(f"wrote {parsed.out}")
    return 0
