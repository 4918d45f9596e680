"""Where a run can be watched beside its own files: TensorBoard's event file, and other services."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel.errors import naming
from bigmodel.tracking.events import Events
from bigmodel.tracking.sinks import Sinks

FLUSH_SECONDS = 5.0
"""How far what TensorBoard shows may be behind the metrics."""


class Outlets:
    """Repeats what a run writes to an event file and to sinks."""

    def __init__(self, path: Path, sinks: Sinks) -> None:
        self._events = Events(path)
        self._sinks = sinks

    def line(self, line: Mapping[str, Any]) -> None:
        """Repeats a line of metrics."""
        self._sinks.send(before=line["step"])
        self._add(line)
        self._events.flush(after=FLUSH_SECONDS)

    def figure(self, step: int, at: float, name: str, value: str | np.ndarray, path: Path) -> None:
        """Repeats a figure, which is in a file."""
        if isinstance(value, str):
            self._events.text(step, at, name, value)
        else:
            self._events.picture(step, at, name, value)
        self._sinks.add(step, at, figures={name: path})

    def replay(self, history: list[dict[str, Any]], figures: Path, step: int) -> None:
        """Repeats what a run that is resumed has written up to a step."""
        for line in history:
            self._add(line)
        for path in sorted(figures.rglob("*-*.*")):
            name, _, at = path.relative_to(figures).as_posix()[: -len(path.suffix)].rpartition("-")
            if at.isdigit() and int(at) <= step:
                self.figure(int(at), path.stat().st_mtime, name, _read_figure(path), path)
        self._sinks.send(before=step)
        self._events.flush()

    def finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
        """Repeats the last figures and the summary."""
        self._sinks.add(summary["step"], time.time(), figures=figures)
        self._sinks.finish(summary)

    def close(self) -> None:
        """Closes the event file and the sinks."""
        self._sinks.close()
        self._events.close()

    def _add(self, line: Mapping[str, Any]) -> None:
        values = {
            name: math.nan if value is None else value
            for name, value in line.items()
            if name not in ("step", "time", "seconds")
        }
        self._events.scalars(line["step"], line["time"], values)
        self._sinks.add(line["step"], line["time"], values=values)


def _read_figure(path: Path) -> str | np.ndarray:
    from PIL import Image

    with naming(path, "read"):
        if path.suffix == ".txt":
            return path.read_text(encoding="utf-8")
        with Image.open(path) as image:
            return np.asarray(image)
