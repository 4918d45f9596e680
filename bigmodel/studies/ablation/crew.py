"""The processes that make the runs of a study, as the one that watches them sees them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, NamedTuple

from bigmodel.launching.child import die_with_parent
from bigmodel.runtime import errors


class Died(NamedTuple):
    """A process that has ended before what it was to do; ``stopped`` if a request ended it."""

    reason: str
    stopped: bool


class Worker:
    """A process of :mod:`bigmodel.studies.ablation.worker`, which dies with this one."""

    def __init__(self, script: Path) -> None:
        self.busy = False
        self.used = False
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bigmodel.studies.ablation.worker", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for the one that watches, which then asks this one to stop.
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None
        stream = self._process.stdout
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._answers.put(line)

    def prepare(self, log: Path, *, drawing: bool) -> None:
        """Lets it print to a file from now on, and says whether its runs draw figures."""
        self._send({"log": str(log), "drawing": drawing})

    def give(self, task: dict[str, Any]) -> None:
        """Gives it a task."""
        self.used = True
        self.ask(task)

    def ask(self, question: dict[str, Any]) -> None:
        """Asks it something, which is no use of it yet."""
        self.busy = True
        self._send(question)

    def look(self) -> dict[str, Any] | Died | None:
        """What it has answered since, one thing at a time; None where there is nothing new."""
        status = self._process.poll()
        with contextlib.suppress(queue.Empty):
            return json.loads(self._answers.get(timeout=0.2 if status is not None else 0.0))
        if status is None:
            return None
        how = f"ended with status {status}"
        if status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
            if status == -signal.SIGKILL:
                how += " (by hand, or because memory ran out)"
        return Died(f"its process {how}", status in (errors.RESUME, -signal.SIGTERM))

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Asks it to save and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        self.release()

    def release(self) -> None:
        """Says that there is nothing more to do."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self, seconds: float) -> None:
        """Waits until it has ended, and kills it after so many seconds."""
        self.release()
        try:
            self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(1.0)

    def _send(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        # One that is gone is seen by look().
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
