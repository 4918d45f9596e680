"""TensorBoard event files, without TensorFlow."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigmodel.errors import naming

if TYPE_CHECKING:
    from tensorboardX.proto.summary_pb2 import Summary


class Events:
    """One event file: scalars, pictures and texts by step.

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

    def picture(self, step: int, at: float, name: str, pixels: np.ndarray) -> None:
        """Writes uint8 pixels, ``[height, width]`` or ``[height, width, 3]``."""
        from tensorboardX.summary import image

        pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
        self._event(at, step=step, summary=image(name, pixels, dataformats="HWC"))

    def text(self, step: int, at: float, name: str, text: str) -> None:
        """Writes a text, shown as it is."""
        from tensorboardX.summary import text as summary

        indented = "".join(f"    {line}\n" for line in text.splitlines())
        self._event(at, step=step, summary=summary(name, indented))

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

    def _event(
        self,
        at: float,
        *,
        step: int = 0,
        summary: Summary | None = None,
        file_version: str | None = None,
    ) -> None:
        from tensorboardX.proto.event_pb2 import Event

        event = Event(wall_time=at, step=step, summary=summary, file_version=file_version)
        with naming(self.path):
            self._writer.write(event.SerializeToString())
