"""Checks that a folder is what was signed: every file, and no other.

    python launch.py verify exports/cnn --key public.pem

What was changed, added, removed or renamed is named in one line, with the status 2. A key is
trusted for where you have it from, and never for being in the folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bigmodel.experiment import InputError
from bigmodel.protection.signatures import read_public, verify


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="run directory or export")
    add("--key", type=Path, required=True, metavar="FILE", help="public Ed25519 key in PEM")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Says whether it is.

    Raises:
        InputError: it is not, or the key cannot be used.
        StorageError: for files that cannot be read.
    """
    if options:
        raise InputError("verify takes nothing after --")
    key = read_public(parsed.key)
    if not parsed.path.is_dir():
        raise InputError(f"{parsed.path} is no folder; name a run directory or an export")
    print(f"{parsed.path}: {verify(parsed.path, key)}")
    return 0
