"""The heartbeat that a process sends to the launcher which watches it.

The launcher makes a folder and names it in the environment. Each process keeps three files in
it: ``rank-N.heartbeat``, a count of beats and the step as two little-endian int64;
``rank-N.log``, the path of its log; ``rank-N.stacks``, where it writes the stacks of its
threads when it gets SIGUSR1.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
import struct
from pathlib import Path

CONTROL = "BIGMODEL_CONTROL"
"""The environment's name for the launcher's folder."""
LAYOUT = struct.Struct("<qq")


def is_watched() -> bool:
    """Whether a launcher watches this process."""
    return bool(os.environ.get(CONTROL))


class Heartbeat:
    """The heartbeat of this process; without a launcher it costs a comparison."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._beats = 0
        self._step = -1
        self._map: mmap.mmap | None = None
        folder = os.environ.get(CONTROL)
        self._folder = Path(folder) if folder else None
        if self._folder is None:
            return
        path = self._folder / f"rank-{rank}.heartbeat"
        path.write_bytes(LAYOUT.pack(0, -1))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), LAYOUT.size)
        self._stacks = (self._folder / f"rank-{rank}.stacks").open("w", encoding="utf-8")
        faulthandler.register(signal.SIGUSR1, file=self._stacks, all_threads=True)

    def beat(self, step: int | None = None) -> None:
        """Signals progress, and the last finished step."""
        if self._map is None:
            return
        self._beats += 1
        self._step = self._step if step is None else step
        LAYOUT.pack_into(self._map, 0, self._beats, self._step)

    def log_to(self, path: Path) -> None:
        """Tells the launcher the file that this process prints to."""
        if self._folder is not None:
            (self._folder / f"rank-{self._rank}.log").write_bytes(os.fsencode(path))
