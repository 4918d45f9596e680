"""Signs a run directory, or another folder, so that a change of it is noticed.

    openssl genpkey -algorithm ed25519 -out private.pem && chmod 600 private.pem
    openssl pkey -in private.pem -pubout -out public.pem
    python launch.py sign runs/cnn-5e16c17c --key private.pem
    python launch.py verify runs/cnn-5e16c17c --key public.pem

SIGNED.json lists all files with their sizes and sha256, and SIGNED.sig signs the list. An export
is signed as it is written, by export --sign.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bigmodel.experiment import InputError
from bigmodel.files import locked
from bigmodel.protection.signatures import read_private, sign


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="run directory or export")
    add("--key", type=Path, required=True, metavar="FILE", help="private Ed25519 key in PEM")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Signs the folder.

    Raises:
        InputError: for a folder or a key that cannot be used.
        StorageError: for files that cannot be read or written.
    """
    if options:
        raise InputError("sign takes nothing after --")
    key = read_private(parsed.key)
    if not parsed.path.is_dir():
        raise InputError(f"{parsed.path} is no folder; name a run directory or an export")
    with locked(parsed.path, otherwise="sign it when that has ended"):
        said = sign(parsed.path, key)
    print(f"{parsed.path}: {said}")
    return 0
