"""The processes that make the runs of a study, as the one that watches them sees them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import threading
from pathlib import Path
from typing import IO, Any, NamedTuple

from bigmodel import errors
from bigmodel.studies.ablation.nursery import Nursery

KILLED = 10.0
"""Seconds after which one that was killed is waited for no longer."""


class Died(NamedTuple):
    """A process that has ended before what it was to do; ``stopped`` if a request ended it."""

    reason: str
    stopped: bool


class Worker:
    """A process of :mod:`bigmodel.studies.ablation.worker`, which dies with this one."""

    def __init__(self, nursery: Nursery) -> None:
        self.busy = False
        self.used = False
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        their_input, our_output = os.pipe()
        our_input, their_output = os.pipe()
        self._process = nursery.start(their_input, their_output)
        os.close(their_input)
        os.close(their_output)
        self._tasks = os.fdopen(our_output, "w")
        stream = os.fdopen(our_input)
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
        self._process.terminate()
        self.release()

    def release(self) -> None:
        """Says that there is nothing more to do."""
        with contextlib.suppress(OSError):
            self._tasks.close()

    def end(self, seconds: float) -> None:
        """Waits until it has ended, and kills it after so many seconds."""
        self.release()
        if self._process.wait(seconds) is None:
            self._process.kill()
            self._process.wait(KILLED)
        self._reader.join(1.0)

    def _send(self, line: dict[str, Any]) -> None:
        # One that is gone is seen by look().
        with contextlib.suppress(OSError, ValueError):
            self._tasks.write(json.dumps(line) + "\n")
            self._tasks.flush()
