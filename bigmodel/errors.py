"""What can go wrong in a run beside bad input, and the exit status that says so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bigmodel.experiment import InputError

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
        raise StorageError(f"cannot {doing} {_short(path)}: {error.strerror or error}") from error


EXPECTED = (InputError, StorageError, JoinError, NotFiniteError, OSError)
"""What :func:`explain` explains."""


def explain(error: Exception) -> tuple[int, str]:
    """The exit status and the line of an error that says itself what is wrong.

    Raises:
        OSError: it is none of the system's, which have a number.
    """
    match error:
        case InputError():
            return BAD_INPUT, str(error)
        case NotFiniteError():
            return NOT_FINITE, str(error)
        case OSError(errno=None):
            raise error
        case OSError(filename=None):
            return FAILED, error.strerror or str(error)
        case OSError():
            return FAILED, f"cannot use {_short(error.filename)}: {error.strerror}"
    return FAILED, str(error)


def _short(path: object) -> str:
    """A path whose end is left out where it fills lines."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:80]}... ({len(text)} characters)"
