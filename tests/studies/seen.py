"""The processes of a study, as /proc shows them."""

import os
from pathlib import Path
from typing import NamedTuple


class Seen(NamedTuple):
    """A fork server, or a worker, which is one of its forks."""

    number: int
    parent: int
    folder: str
    worker: bool


def fork_processes() -> list[Seen]:
    """All fork servers and workers of this machine."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            folder = os.readlink(path / "cwd")
        except OSError:
            continue
        if b"multiprocessing.forkserver" in words and state != "Z":
            found[int(path.name)] = int(parent), folder
    return [Seen(number, *one, one[0] in found) for number, one in found.items()]


def processes(folder: Path) -> list[int]:
    """The fork servers and workers of studies that were started in a folder."""
    return [one.number for one in fork_processes() if one.folder == str(folder.resolve())]


def workers(folder: Path) -> list[int]:
    """Those of them that make runs."""
    here = processes(folder)
    return [one.number for one in fork_processes() if one.worker and one.number in here]


def threads(process: int) -> int:
    """How many threads the system counts in a process."""
    return len(os.listdir(f"/proc/{process}/task"))
