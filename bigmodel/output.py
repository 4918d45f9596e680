"""What a process prints. That nobody can read it any more, or not in full, ends no run."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any, TextIO

RANK = "BIGMODEL_PROCESS"
"""The variable that numbers the processes of a run; what those but the first print is not shown."""


class _Lenient(io.FileIO):
    """A descriptor whose writes never fail: what cannot be written is dropped."""

    def write(self, data: Any) -> int:
        """Writes what can be written, and says that all was."""
        with contextlib.suppress(OSError):
            written = super().write(data)
            if written is not None:
                return written
        return memoryview(data).nbytes


def protect_output() -> None:
    """Lets standard output and error fail without a word: a closed terminal or pipe, a full disk.

    Characters that the encoding lacks are replaced. Streams that something else has put in the
    place of the process's own, such as a test, are left alone.
    """
    # A file that is opened later must not get the number of a closed stream.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream: TextIO | None = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):
            continue
        encoding, errors = "utf-8", "replace"
        if stream is not None:
            encoding, errors = stream.encoding, stream.errors or errors
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        raw = _Lenient(number, "wb", closefd=False)
        text = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=encoding,
            errors="replace" if errors in ("strict", "surrogateescape") else errors,
            line_buffering=name == "stderr"
            or raw.isatty()
            or getattr(stream, "write_through", False),
        )
        setattr(sys, name, text)


def warn(message: str) -> None:
    """Prints a warning on standard error."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


@cache
def note(message: str) -> None:
    """Prints what the user may want to know on standard error, once per process."""
    print(f"note: {message}", file=sys.stderr, flush=True)


_tally: ContextVar[Counter[str] | None] = ContextVar("tally", default=None)


def warn_of_each(message: str, count: int = 1) -> None:
    """Warns of something that has happened so many times, at the end of :func:`tallied`."""
    tally = _tally.get()
    if tally is None:
        warn(f"{message}: {count}")
    else:
        tally[message] += count


@contextlib.contextmanager
def tallied() -> Iterator[Counter[str]]:
    """Adds up the warnings of :func:`warn_of_each` inside, by their messages."""
    tally: Counter[str] = Counter()
    token = _tally.set(tally)
    try:
        yield tally
    finally:
        _tally.reset(token)
