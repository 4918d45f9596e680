"""Where a run can be watched beside its own files: TensorBoard's event file, and other services."""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel.errors import naming
from bigmodel.tracking.sinks import Sinks

FLUSH_SECONDS = 5.0
"""How far what TensorBoard shows may be behind the metrics."""
FIGURE = re.compile(r"(?P<name>.+)-(?P<step>[0-9]{8,})\.(?:png|txt)")
"""The file of a figure; others in its folder are a user's own."""


class Events:
    """An event file for TensorBoard, without TensorFlow: scalars, pictures and texts by step.

    The file is a function of what is written, times included, so a resumed run starts a new
    one from its history and removes the old one.
    """

    def __init__(self, directory: Path) -> None:
        from tensorboardX.record_writer import RecordWriter

        for old in directory.glob("events.out.tfevents.*"):
            with naming(old, "remove"):
                old.unlink()
        self.path = directory / f"events.out.tfevents.0.{socket.gethostname()}"
        with naming(self.path):
            self._writer = RecordWriter(str(self.path))
        self._flushed = time.monotonic()
        self._event(0.0, file_version="brain.Event:2")

    def scalars(self, step: int, at: float, values: Mapping[str, float]) -> None:
        """Writes numbers by name."""
        from tensorboardX.proto.summary_pb2 import Summary

        value = [Summary.Value(tag=tag, simple_value=number) for tag, number in values.items()]
        self._event(at, step=step, summary=Summary(value=value))

    def figure(self, step: int, at: float, name: str, value: str | np.ndarray) -> None:
        """Writes a text, shown as it is, or uint8 ``[height, width]`` or ``[height, width, 3]``."""
        from tensorboardX.summary import image, text

        if isinstance(value, str):
            summary = text(name, "".join(f"    {line}\n" for line in value.splitlines()))
        else:
            pixels = value if value.ndim == 3 else value[:, :, None]
            summary = image(name, pixels, dataformats="HWC")
        self._event(at, step=step, summary=summary)

    def flush(self, *, after: float = 0.0) -> None:
        """Writes out what is buffered, if that was last done more than ``after`` seconds ago.

        The writer syncs the disk then, which is too slow for every step.
        """
        now = time.monotonic()
        if now - self._flushed >= after:
            self._flushed = now
            with naming(self.path):
                self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        with naming(self.path):
            self._writer.close()

    def _event(self, at: float, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        with naming(self.path):
            self._writer.write(Event(wall_time=at, **content).SerializeToString())


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
        self._events.figure(step, at, name, value)
        self._sinks.add(step, at, figures={name: path})

    def replay(self, history: list[dict[str, Any]], figures: Path, step: int) -> None:
        """Repeats what a run that is resumed has written up to a step."""
        for line in history:
            self._add(line)
        for path in sorted(figures.rglob("*-*.*")):
            own = FIGURE.fullmatch(path.relative_to(figures).as_posix())
            if own and int(own["step"]) <= step:
                value = _read_figure(path)
                self.figure(int(own["step"]), path.stat().st_mtime, own["name"], value, path)
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
