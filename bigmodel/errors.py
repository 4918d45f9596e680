"""What can go wrong in a run beside bad input, and the exit status that says so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

DONE = 0
FAILED = 1
BAD_INPUT = 2
NOT_FINITE = 3
LOST = 69
"""Another process of the run is gone; what went wrong is for that one to say."""
RESUME = 75
"""Of a run of several processes, or under the launcher: stopped, and to be started again."""
INTERRUPTED = 130


class StorageError(RuntimeError):
    """A file cannot be written or read; the message is one line and names the path."""


class JoinError(RuntimeError):
    """The processes of a run did not come together; the message is one line."""


class NotFiniteError(RuntimeError):
    """A loss, gradient or parameter is infinite or not a number after the update ``step``."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


@contextlib.contextmanager
def naming(path: Path, doing: str = "write") -> Iterator[None]:
    """Turns an OSError into a StorageError that names the path."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {doing} {path}: {error.strerror or error}") from error
