"""A child process of the launcher."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from bigmodel.processes.heartbeat import CONTROL, LAYOUT

LINES = 3
"""Last lines of a log that are shown."""


class Child:
    """A process in a group of its own, which dies with the launcher.

    The first rank prints to where the launcher prints; what the others print before they
    have a log is kept for messages.
    """

    def __init__(
        self, command: Sequence[str], rank: int, environment: Mapping[str, str], control: Path
    ) -> None:
        self.rank = rank
        self.moved = time.monotonic()
        self._control = control
        self._beats = -1
        self._last: deque[str] = deque(maxlen=50)
        first = rank == 0
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **environment, CONTROL: str(control)},
            stdin=subprocess.DEVNULL,
            stdout=None if first else subprocess.PIPE,
            stderr=subprocess.PIPE if first else subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        stream = self.process.stderr if first else self.process.stdout
        assert stream is not None
        self._reader = threading.Thread(target=self._read, args=(stream, first), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str], show: bool) -> None:
        with stream:
            for line in stream:
                self._last.append(line.rstrip())
                if show:
                    with contextlib.suppress(OSError):
                        sys.stderr.write(line)
                        sys.stderr.flush()

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    @property
    def stopped(self) -> bool:
        """Whether SIGSTOP holds it, where the system tells."""
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return False
        return text.rpartition(")")[2].split()[0] in ("T", "t")

    def look(self) -> int | None:
        """Reads its heartbeat and returns the step that it has done; None before the first."""
        try:
            beats, step = LAYOUT.unpack(self._told("heartbeat"))
        except struct.error:
            return None
        if beats != self._beats:
            self._beats = beats
            self.moved = time.monotonic()
        return step if step >= 0 else None

    def send(self, number: int) -> None:
        """Sends a signal to its whole group, if it still runs."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def wait(self, seconds: float) -> bool:
        """Waits up to so many seconds; returns whether it has ended."""
        try:
            self.process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(1.0)
        return True

    @property
    def log(self) -> Path | None:
        """The log file that it prints to, if it has one."""
        told = self._told("log")
        return Path(os.fsdecode(told)) if told else None

    def last_lines(self) -> str:
        """The last lines that it printed, joined into one."""
        lines = list(self._last)
        with contextlib.suppress(OSError):
            if self.log is not None:
                lines += self.log.read_text(encoding="utf-8", errors="replace")[-4000:].splitlines()
        return " | ".join([line.strip() for line in lines if line.strip()][-LINES:])[-600:]

    def stacks(self) -> str:
        """What it answered to SIGUSR1: the stacks of its threads."""
        return self._told("stacks").decode(errors="replace")

    def _told(self, kind: str) -> bytes:
        """What it has written into one of its files; nothing if that is not there."""
        with contextlib.suppress(OSError):
            return (self._control / f"rank-{self.rank}.{kind}").read_bytes()
        return b""

    def where(self) -> str:
        """The innermost line of its main thread that is known, such as ``loop.py:120``."""
        if self.stopped:
            return "stopped by SIGSTOP"
        stacks = self.stacks().rpartition("Current thread")[2] or self.stacks()
        found = re.search(r'File "([^"]+)", line (\d+) in (\w+)', stacks)
        if found is None:
            return "no answer"
        path, line, function = found.groups()
        return f"{Path(path).name}:{line} in {function}"


def die_with_parent() -> None:
    """Asks Linux to kill this process when the launcher is gone, however that went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
