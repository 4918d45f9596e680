"""Sending to a sink beside the training, which neither waits for it nor fails with it."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigmodel.files import write_json

if TYPE_CHECKING:
    from bigmodel.tracking.sinks import Row, Sink

CLOSE_SECONDS = 30.0
"""How long the end of a run waits for a sink."""
NOTE_SECONDS = 1.0
"""How far the note of what was sent may be behind, while there is more to send."""


class Sender:
    """A thread that gives rows to a sink in their order, and notes how far it has come."""

    def __init__(
        self,
        name: str,
        connect: Callable[[str | None], Sink],
        *,
        note: Path,
        warn: Callable[[str], None],
    ) -> None:
        """Starts the thread, which opens the sink.

        Args:
            name: the sink's, for warnings.
            connect: opens it, given the sink's name of the run or None for a new one.
            note: the file of that name and of the last step that was sent.
            warn: is told, once, why the sink gets no more.
        """
        self._name = name
        self._connect = connect
        self._note = note
        self._warn = warn
        self._id, self._sent = _read(note)
        self._summary: Mapping[str, Any] | None = None
        self._rows: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._given_up = False
        # A daemon, for a process must not wait at its end for a server that does not answer.
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)
        self._thread.start()

    def send(self, row: Row) -> None:
        """Takes a row, which is left out where the sink has its step."""
        if not self._given_up:
            self._rows.put(row)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Takes the summary, with which the sink is closed."""
        self._summary = summary

    def close(self) -> None:
        """Waits until all is sent, or warns that it was not."""
        self._rows.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._give_up(f"has not taken everything within {CLOSE_SECONDS:.0f} s")

    def _run(self) -> None:
        try:
            sink = self._connect(self._id)
            self._sent = self._sent if sink.sent is None else sink.sent
            self._write(sink.id)
            noted = time.monotonic()
            while (row := self._rows.get()) is not None:
                if row.step <= self._sent:
                    continue
                sink.send(row)
                self._sent = row.step
                if self._rows.empty() or time.monotonic() - noted > NOTE_SECONDS:
                    self._write(sink.id)
                    noted = time.monotonic()
            self._write(sink.id)
            sink.close(self._summary)
        # Whatever goes wrong in a foreign package, the training goes on.
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "")
            self._give_up(f"failed: {type(error).__name__}: {reason}")

    def _write(self, name: str) -> None:
        write_json(self._note, {"id": name, "step": self._sent})

    def _give_up(self, reason: str) -> None:
        if not self._given_up:
            self._given_up = True
            self._warn(f"--run.sinks {self._name} {reason}; what it lacks is in the run directory")


def _read(note: Path) -> tuple[str | None, int]:
    """The sink's name of the run and the last step that it has; of a broken note, those of none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_text())
        return str(known["id"]), int(known["step"])
    return None, -1
