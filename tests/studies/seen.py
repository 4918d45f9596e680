"""What is waited for, and the processes of a study as /proc shows them."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def wait_for(found: Callable[[], T | None], seconds: float = 120.0) -> T:
    """What is found at last."""
    until = time.monotonic() + seconds
    while not (what := found()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return what


def processes(folder: Path | None = None, *, parent: int | None = None) -> list[int]:
    """The fork servers and workers of studies, or those that were started in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            state, of = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            there = os.readlink(path / "cwd")
        except OSError:
            continue
        forked = b"multiprocessing.forkserver" in words and state != "Z"
        asked_for = parent in (None, int(of)) and (folder is None or there == str(folder.resolve()))
        if forked and asked_for:
            found.append(int(path.name))
    return found


def workers(folder: Path) -> list[int]:
    """Those of them that make runs, which are forks of a fork server."""
    return [own for server in processes(folder) for own in processes(folder, parent=server)]
