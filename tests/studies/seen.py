"""The processes of a study, as /proc shows them."""

import os
from pathlib import Path
from typing import NamedTuple


class Seen(NamedTuple):
    """A process of an experiment's script; a fork makes runs, the one that imports does not."""

    number: int
    parent: int
    fork: bool


def processes(script: Path | str) -> list[Seen]:
    """The processes that a study of the script has started and that are there now."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        ours = any(word.startswith(b"bigmodel.studies.ablation.") for word in words)
        if ours and os.fsencode(script) in words and state != "Z":
            parents[int(path.name)] = int(parent)
    return [Seen(number, parent, parent in parents) for number, parent in parents.items()]


def workers(script: Path | str) -> list[int]:
    """Those of them that make runs."""
    return [process.number for process in processes(script) if process.fork]
