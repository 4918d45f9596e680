"""Sinks: where a run is logged beside its run directory, such as Weights & Biases.

What a sink gets are rows: all that was logged at one step. A row goes out when a later step has
one, or the run has ended, for a run that is stopped between the metrics of a step and their
evaluation makes the rest of the row only when it goes on. The folder ``sinks/`` of the run
directory has a file for each sink: the sink's name of the run and the last step that it has. So a
run goes on in the same place, and rows that a sink has are not sent again.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from bigmodel.experiment import InputError
from bigmodel.files import write_json

CLOSE_SECONDS = 30.0
"""Seconds that the end of a run waits for a sink."""
NOTE_SECONDS = 1.0
"""Seconds between two notes of what was sent, while there is more to send."""


@dataclass
class Row:
    """What was logged at one step: numbers by name, and the files of figures by name.

    ``time`` is that of its first line, in seconds since 1970.
    """

    step: int
    time: float
    values: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Path] = field(default_factory=dict)


class Start(NamedTuple):
    """What a sink is opened with: the run directory, the config, and the sink's name of the run.

    The latter is None for a run that the sink does not have yet.
    """

    path: Path
    config: Mapping[str, Any]
    id: str | None


class Sink(Protocol):
    """A run in an external service. One thread calls it; an exception disables only this sink.

    Its module, ``bigmodel.tracking.<name>_sink``, is imported only where the sink is asked for. In
    it ``check()`` raises InputError where the sink is not set up, and ``open_sink(start)`` starts
    or resumes a run.
    """

    @property
    def id(self) -> str:
        """The identifier of the run in the sink, with which it is resumed."""

    @property
    def sent(self) -> int | None:
        """The last step that the sink had when it was opened; None if it cannot tell."""

    def send(self, row: Row) -> None:
        """Logs what there is of a step; steps increase."""

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Ends it with the summary of the run, or without one where the run may go on."""


def check_sinks(names: Sequence[str]) -> None:
    """Raises InputError for a sink whose package is missing or that is not set up."""
    for name in names:
        spec = importlib.util.find_spec(name)
        # A folder of this name, such as sinks leave behind, is found too but has no origin.
        if spec is None or spec.origin is None:
            raise InputError(
                f"--run.sinks {name} needs a package that is not installed; "
                f"pip install -e '.[{name}]'"
            )
        _module(name).check()


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"bigmodel.tracking.{name}_sink")


class Sender:
    """A thread that sends rows to a sink in order, and records the last step that was sent."""

    def __init__(
        self,
        name: str,
        connect: Callable[[str | None], Sink],
        *,
        note: Path,
        warn: Callable[[str], None],
    ) -> None:
        """Starts the thread, which opens the sink by ``connect``, given its name of a known run.

        That name and the last step that was sent are in the file ``note``. ``warn`` is told, once,
        why the sink gets no more.
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
        """Waits until everything has been sent, or warns that it was not."""
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
    """The identifier and the last step of a note; those of no run if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_text(encoding="utf-8"))
        return str(known["id"]), int(known["step"])
    return None, -1


class Sinks:
    """All sinks of a run; what is logged is gathered into rows for them."""

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        path: Path = Path(),
        config: Mapping[str, Any] | None = None,
        warn: Callable[[str], None] = print,
    ) -> None:
        """Opens the sinks, without waiting for them; ``warn`` is told of one that has failed."""

        def connect(name: str, known: str | None) -> Sink:
            return _module(name).open_sink(Start(path, config or {}, known))

        self._rows: dict[int, Row] = {}
        notes = path / "sinks"
        self._senders = [
            Sender(name, functools.partial(connect, name), note=notes / f"{name}.json", warn=warn)
            for name in dict.fromkeys(names)
        ]

    def add(
        self,
        step: int,
        at: float,
        *,
        values: Mapping[str, float] | None = None,
        figures: Mapping[str, Path] | None = None,
    ) -> None:
        """Adds numbers and files, which stay as they are, to the row of a step, by name.

        Steps come in any order, as long as their row has not gone out; ``at`` is in seconds since
        1970.
        """
        if not self._senders:
            return
        row = self._rows.setdefault(step, Row(step, at))
        row.values.update(values or {})
        row.figures.update(figures or {})

    def send(self, *, before: float = math.inf) -> None:
        """Gives the rows of all steps before one to the sinks."""
        for step in sorted(step for step in self._rows if step < before):
            row = self._rows.pop(step)
            for sender in self._senders:
                sender.send(row)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Gives them the last row and the summary."""
        self.send()
        for sender in self._senders:
            sender.finish(summary)

    def close(self) -> None:
        """Waits briefly until the sinks have sent everything."""
        for sender in self._senders:
            sender.close()
