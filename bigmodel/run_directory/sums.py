"""The sha256 of every file of a checkpoint, as ``sha256sum`` writes them, and of all parameters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from bigmodel.experiment import PyTree
from bigmodel.files import sha256_of, sync, write_atomically
from bigmodel.processes.distributed import fetch
from bigmodel.tree import named_leaves

SUMS = "SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Writes the sha256 of every file of a folder into it, all of which then outlasts a power cut.

    What the processes of a run have written of their own files is taken from there.
    """
    lines = []
    for path in sorted(folder.glob(f"{SUMS}-*")):
        lines += path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.unlink()
    known = {line.partition("  ")[2].rstrip("\n") for line in lines}
    sum_files(folder, folder, folder / SUMS, known=known, lines=lines)


def sum_files(
    root: Path, folder: Path, sums: Path, *, known: Collection[str] = (), lines: Sequence[str] = ()
) -> None:
    """Writes the sha256 of the files below a folder, with their paths below the root."""
    lines = [*lines]
    folders = [folder]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            folders.append(path)
        elif name not in known:
            sync(path)
            lines.append(f"{sha256_of(path)}  {name}\n")
    write_atomically(sums, "".join(lines).encode())
    for each in folders:
        sync(each)


def find_damage(folder: Path) -> str | None:
    """What is wrong with a finished checkpoint, naming the first such file; None if nothing."""
    sums = folder / SUMS
    if not sums.is_file():
        return f"{sums} (missing)"
    listed = {}
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if not re.fullmatch(r"[0-9a-f]{64}", digest) or not name:
            return f"{sums} (not a list of sha256)"
        listed[name] = digest
    if not listed:
        return f"{sums} (empty)"
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            return f"{path} (missing)"
        if sha256_of(path) != digest:
            return f"{path} (its sha256 differs)"
    return None


def params_digest(params: PyTree) -> str:
    """The sha256 over the parameters' paths, dtypes, shapes and bytes, in the order of paths."""
    digest = hashlib.sha256()
    for path, leaf in sorted(named_leaves(params).items()):
        array = np.ascontiguousarray(fetch(leaf))
        digest.update(f"{path}\0{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
