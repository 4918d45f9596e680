"""Writing files so that a reader, or a later start, never sees half of one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bigmodel.errors import naming
from bigmodel.experiment import InputError

PARTIAL = ".partial"
"""How the name of a file ends that is not yet whole."""


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        StorageError: where the path cannot be written.
    """
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, whole or not at all."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content."""
    with naming(path, "read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock(folder: Path, *, otherwise: str, shared: bool = False) -> int:
    """Keeps other processes out of a folder until what this gives is closed.

    Args:
        folder: where only one process may write.
        otherwise: what the user is to do where another one is there.
        shared: whether others may be there that say the same.

    Raises:
        InputError: where another process has the lock.
    """
    with naming(folder, "open"):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"another process is running in {folder}; {otherwise}") from None
    except OSError as error:
        # Some network file systems have no locks; the folder is then the user's to keep apart.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
    return descriptor


@contextlib.contextmanager
def locked(folder: Path, *, otherwise: str, shared: bool = False) -> Iterator[None]:
    """Has the lock of a folder while entered: see :func:`lock`."""
    descriptor = lock(folder, otherwise=otherwise, shared=shared)
    try:
        yield
    finally:
        os.close(descriptor)
