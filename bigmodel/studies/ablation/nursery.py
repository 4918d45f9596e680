"""Starts the processes of a study, which share the imports that take a process seconds.

On Linux they are forks of a process that has imported but has not asked JAX for its devices, for
that starts threads, which no fork has. On other systems, whose libraries are not made for forks,
each process is started afresh.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from bigmodel.launching.child import die_with_parent

FORKS = sys.platform == "linux"
GRACE = 5.0
"""Seconds that processes have to end when there is nothing more to do."""
MESSAGE = 4096
"""Bytes of a message, at most."""


class Process(Protocol):
    """A process, of :mod:`bigmodel.studies.ablation.worker`."""

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""

    def wait(self, timeout: float) -> int | None:
        """Its exit status once it has ended, or None after so many seconds."""

    def terminate(self) -> None:
        """Asks it to end, if it runs."""

    def kill(self) -> None:
        """Ends it at once with what it has started, if it runs."""


class Nursery:
    """Starts processes for an experiment's script, which are to end before it is closed."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._forks: _Forks | None = None
        self._started: list[_Started] = []

    def prepare(self) -> None:
        """Begins to import what a process needs, before one is asked for."""
        if self._forks is not None and self._forks.gone and self._forks.used:
            self._forks.close(0.0)
            self._forks = None
        if FORKS and self._forks is None:
            self._forks = _Forks(self._script)

    def start(self, stdin: int, stdout: int) -> Process:
        """A process that reads and writes these file descriptors."""
        self.prepare()
        if self._forks is not None:
            return self._forks.start(stdin, stdout)
        self._started.append(_Started(self._script, stdin, stdout))
        return self._started[-1]

    def close(self) -> None:
        """Waits a while for processes that have nothing to do, and kills those that are left."""
        for process in self._started:
            if process.wait(GRACE) is None:
                process.kill()
                process.wait(GRACE)
        if self._forks is not None:
            self._forks.close(GRACE)


class _Started:
    """A process of its own."""

    def __init__(self, script: Path, stdin: int, stdout: int) -> None:
        self._process = _python("worker", script, stdin, stdout)

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(max(timeout, 0.0))
        return None

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class _Forks:
    """A process of :mod:`bigmodel.studies.ablation.forking`, and what it has told."""

    def __init__(self, script: Path) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = _python("forking", script, theirs.fileno(), None)
        self._statuses: dict[int, int] = {}
        self._count = 0
        self._deaf = False

    @property
    def gone(self) -> bool:
        """Whether it has died, and its forks with it."""
        return self._process.poll() is not None

    @property
    def used(self) -> bool:
        """Whether it was asked for a fork, which then tells how it died."""
        return self._count > 0

    def start(self, stdin: int, stdout: int) -> _Fork:
        self._count += 1
        self.tell({"start": self._count}, stdin, stdout)
        return _Fork(self, self._count)

    def tell(self, message: dict[str, Any], *descriptors: int) -> None:
        # One that is gone is seen by status().
        with contextlib.suppress(OSError):
            socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)

    def status(self, number: int) -> int | None:
        """The exit status of a fork, or of this process where that has died."""
        self.listen(0.0)
        return self._statuses.get(number, self._process.poll())

    def listen(self, timeout: float) -> None:
        """Takes note of the forks that have ended; waits so long for the first."""
        while not self._deaf and select.select([self._control], [], [], timeout)[0]:
            message = b""
            with contextlib.suppress(ConnectionResetError):
                message = self._control.recv(MESSAGE)
            if message:
                ended = json.loads(message)
                self._statuses[ended["number"]] = ended["status"]
            else:
                self._process.wait()
                self._deaf = True
            timeout = 0.0

    def close(self, seconds: float) -> None:
        """Ends all, forks that run after so many seconds too."""
        until = time.monotonic() + seconds
        while len(self._statuses) < self._count and not self._deaf:
            left = until - time.monotonic()
            if left <= 0:
                break
            self.listen(left)
        self._process.kill()
        self._process.wait()
        self._control.close()
        self._deaf = True


class _Fork:
    """One fork of a process."""

    def __init__(self, forks: _Forks, number: int) -> None:
        self._forks = forks
        self._number = number

    def poll(self) -> int | None:
        return self._forks.status(self._number)

    def wait(self, timeout: float) -> int | None:
        until = time.monotonic() + timeout
        while (status := self.poll()) is None and (left := until - time.monotonic()) > 0:
            self._forks.listen(left)
        return status

    def terminate(self) -> None:
        self._forks.tell({"signal": signal.SIGTERM, "number": self._number})

    def kill(self) -> None:
        self._forks.tell({"signal": signal.SIGKILL, "number": self._number})


def _python(module: str, script: Path, stdin: int, stdout: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"bigmodel.studies.ablation.{module}", str(script)],
        stdin=stdin,
        stdout=stdout,
        # Ctrl-C is for the one that watches, which then asks this one to stop.
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
