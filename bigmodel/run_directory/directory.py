"""The run directory: plain files that other programs read.

``metrics.jsonl`` is the history of the run; event files, the best step and what is left of
the patience are functions of it, so a resume needs nothing else beside a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel.data.prepared.contents import SOURCES, what_changed
from bigmodel.errors import StorageError, naming
from bigmodel.experiment import Assets, Figure, InputError, Shown
from bigmodel.files import locked, write_atomically, write_json
from bigmodel.run_directory.drawn import write_figure
from bigmodel.run_directory.history import History, read_metrics
from bigmodel.run_directory.same_run import check_config, recorded_config, start_of
from bigmodel.tracking.outlets import Outlets
from bigmodel.tracking.sinks import Sinks

CONFIG, MANIFEST, METRICS, SUMMARY = "config.json", "manifest.json", "metrics.jsonl", "summary.json"
ASSETS = "assets"


class RunDirectory:
    """The files of one run, other than its checkpoints.

    Of several processes one is ``writing``; the others only keep the history, which is the
    same for all of them. Without ``drawing``, pictures that would have to be drawn are left out.
    What cannot be read or written is a StorageError.
    """

    def __init__(self, path: Path, *, writing: bool = True, drawing: bool = True) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.logs = path / "logs"  # of processes other than the first
        self.profile = path / "profile"
        self.writing = writing
        self.drawing = drawing
        self.history: History = []
        self._outlets: Outlets | None = None
        self._lock = contextlib.ExitStack()
        self._locked = False

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The content of a JSON file of the run, None where there is none."""
        path = self.path / name
        with naming(path, "read"):
            if not path.exists():
                return None
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise StorageError(f"cannot read {path}: {error}") from None
        if not isinstance(value, dict):
            raise StorageError(f"cannot read {path}: it is not a JSON object")
        return value

    def check_same_run(
        self, config: Mapping[str, Any], fingerprint: str, assets: Assets, *, total: int
    ) -> None:
        """Raises InputError where the directory holds another run, naming what differs.

        ``assets`` may list the files of the data. ``total`` is the length of the run in steps: see
        :func:`check_config`.
        """
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            shown = ascii(str(self.path))
            raise InputError(
                f"--run.dir {shown} has letters that this locale lacks, and checkpoints cannot "
                "be written there; set LC_ALL=C.UTF-8, or choose another one"
            ) from None
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--run.dir {self.path} is a file; choose a directory")
        there = self.read_json(CONFIG)
        if there is None:
            if (self.path / METRICS).exists() or self.checkpoints.exists():
                raise InputError(
                    f"{self.path} holds a run without its {CONFIG}; choose another --run.dir"
                )
            return
        before = (self.read_json(MANIFEST) or {}).get("data_fingerprint")
        reached = (self.read_json(SUMMARY) or {}).get("step", 0)
        reached = max([reached, *finished_steps(self.checkpoints)])
        known = before is not None
        check_config(self.path, there, config, data_known=known, total=total, reached=reached)
        if before not in (None, fingerprint):
            files = self.read_json(f"{ASSETS}/{SOURCES}")
            here = json.loads(assets[SOURCES]) if SOURCES in assets else None
            what = what_changed(files, here) if files and here else ""
            raise InputError(
                f"the data has changed since the run in {self.path} began "
                f"({what or 'its sha256 differs'}); choose another --run.dir"
            )

    def lock(self) -> None:
        """Makes the directory and keeps other processes from running in it until it is closed.

        Raises:
            InputError: another process runs here.
        """
        if not self.writing or self._locked:
            return
        with naming(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        otherwise = "wait for it, or choose another --run.dir"
        self._lock.enter_context(locked(self.path, otherwise=otherwise))
        self._locked = True

    def unlock(self) -> None:
        """Lets other processes run here; a directory that nothing was written into goes."""
        if self._locked:
            self._locked = False
            self._lock.close()
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def keep(self, assets: Assets) -> None:
        """Writes the files that say what the numbers of the run's batches mean."""
        for name, content in assets.items() if self.writing else ():
            write_atomically(self.path / ASSETS / name, content)

    def create(self, config: Mapping[str, Any], manifest: Mapping[str, Any], *, step: int) -> None:
        """Writes what is known before the first step of this start.

        The manifest is that of the start from which the run has come: where it goes on from
        a step, what the earlier one wrote is kept, and this one is added to its ``starts``, with
        the options that may differ from start to start. The config is that of the last start.
        """
        if not self.writing:
            return
        self.lock()
        there = self.read_json(MANIFEST) or {}
        kept = there if there and step > 0 else manifest
        starts = [*there.get("starts", []), start_of(step, config, manifest)]
        write_json(self.path / MANIFEST, {**kept, "starts": starts})
        before = self.read_json(CONFIG)
        if (kept_config := recorded_config(before, config)) != before:
            write_json(self.path / CONFIG, kept_config)

    def resume(self, step: int, sinks: Callable[[], Sinks] = Sinks) -> None:
        """Takes the history back to a step: later lines, and half a line, are dropped.

        ``sinks`` opens what also gets all that is logged, and what it lacks of the history.
        """
        path = self.path / METRICS
        self.history = [line for line in read_metrics(path) if line["step"] <= step]
        if not self.writing:
            return
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        write_atomically(path, lines.encode())
        (self.path / SUMMARY).unlink(missing_ok=True)
        self._outlets = Outlets(self.path, sinks())
        self._outlets.replay(self.history, self.path / "figures", step)

    def log(self, step: int, values: Mapping[str, float], *, seconds: float) -> None:
        """Appends a line of metrics after so many updates and seconds, over all starts of the run.

        What is not finite is written as null.
        """
        line = {"step": step, "time": time.time(), "seconds": round(seconds, 3)}
        line.update({k: v if math.isfinite(v) else None for k, v in values.items()})  # type: ignore[misc]
        self.history.append(line)
        if not self.writing:
            return
        assert self._outlets is not None
        path = self.path / METRICS
        with naming(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._outlets.line(line)

    def show(self, step: int, shown: Shown) -> None:
        """Writes pictures and texts into ``figures/``, with the step in their names.

        One that cannot be drawn is a warning, since no figure may end a training.
        """
        for name, figure in shown.items() if self.writing else ():
            drawn = self._draw(step, f"{name}-{step:08d}", figure)
            if drawn is not None:
                assert self._outlets is not None
                self._outlets.figure(step, time.time(), name, *drawn)

    def _draw(self, step: int, name: str, figure: Figure) -> tuple[str | np.ndarray, Path] | None:
        """Writes a figure to a file, unless it is not wanted or cannot be drawn."""
        if callable(figure) and not self.drawing:
            return None
        told = f"{name.removesuffix(f'-{step:08d}')} of step {step}"
        return write_figure(self.path / "figures", name, figure, told=told)

    def sync(self) -> None:
        """Makes the metrics outlast a power cut; to be called before a checkpoint."""
        path = self.path / METRICS
        if not self.writing:
            return
        with naming(path), path.open("a", encoding="utf-8") as file:
            os.fsync(file.fileno())

    def finish(self, summary: Mapping[str, Any], curves: Callable[[History], np.ndarray]) -> None:
        """Draws the curves and writes the summary, which is the last thing that a run writes."""
        if not self.writing:
            return
        drawn = self._draw(summary["step"], "curves", lambda: curves(self.history))
        figures = {} if drawn is None else {"curves": drawn[1]}
        write_json(self.path / SUMMARY, summary)
        if self._outlets is not None:
            self._outlets.finish(summary, figures)

    def close(self) -> None:
        """Closes sinks and the event file, and lets others run here."""
        if self._outlets is not None:
            self._outlets.close()
            self._outlets = None
        self.unlock()


def finished_steps(directory: Path) -> list[int]:
    """The steps of which a folder has finished checkpoints, in order."""
    if not directory.is_dir():
        return []
    with naming(directory, "read"):
        names = [path.name for path in directory.iterdir() if path.is_dir()]
    return sorted(int(name) for name in names if re.fullmatch(r"\d+", name))
