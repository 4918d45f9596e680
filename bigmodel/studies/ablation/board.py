"""The progress of a study: a table on a terminal, else a line for each run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bigmodel.run_directory.directory import METRICS
from bigmodel.studies.runs import Result
from bigmodel.studies.study import Cell, Study
from bigmodel.tracking.progress import clock, say

ROWS = 30
"""Maximum number of cells in the table; with more, only those being made are shown."""
TAIL = 4096
"""Bytes at the end of a run's metrics that are searched for the last step."""


class _Going(NamedTuple):
    directory: Path
    since: float


class Board:
    """Shows the state and progress of each cell, and the remaining time."""

    def __init__(self, study: Study, configs: Sequence[Any]) -> None:
        self._study = study
        self._steps = {
            cell.name: config.run.steps if config.run.epochs is None else None
            for cell, config in zip(study.cells, configs, strict=True)
        }
        self._results: dict[tuple[str, int], Result] = {}
        self._going: dict[tuple[str, int], _Going] = {}
        self._made = 0
        self._begin = time.monotonic()
        self._drawn = 0.0
        console = Console(file=sys.stdout, highlight=False)
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Board:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def begun(self, cell: Cell, seed: int, directory: Path) -> None:
        """Registers a run that is being made now."""
        self._going[cell.name, seed] = _Going(directory, time.monotonic())

    def ended(self, result: Result) -> None:
        """Registers a run that has ended, now or in an earlier start."""
        key = (result.cell.name, result.seed)
        self._results[key] = result
        going = self._going.pop(key, None)
        if going is None:
            return
        self._made += 1
        if self._live is None:
            count = f"{len(self._results)}/{self._total}"
            why = f" ({result.reason})" if result.reason else ""
            name = f"{result.cell.name} seed {result.seed}"
            seconds = clock(time.monotonic() - going.since)
            say(f"{count}  {name}: {result.state}{why} in {seconds}{self._rest()}")

    def say(self, text: str) -> None:
        """Prints a line above the table."""
        if self._live is None:
            say(text)
        else:
            self._live.console.print(text, markup=False)

    @property
    def failures(self) -> int:
        """The number of failed runs."""
        return sum(result.state == "failed" for result in self._results.values())

    def refresh(self) -> None:
        """Redraws the table, at most twice a second."""
        if self._live is not None and time.monotonic() - self._drawn > 0.5:
            self._drawn = time.monotonic()
            self._live.update(self._table(), refresh=True)

    @property
    def _total(self) -> int:
        return len(self._study.cells) * len(self._study.seeds)

    def _rest(self) -> str:
        """The remaining time, estimated from the pace so far, as it follows a count."""
        runs = self._total - len(self._results)
        if not (runs and self._made):
            return ""
        each = (time.monotonic() - self._begin) / self._made
        return f", {clock(each * runs)} left"

    def _table(self) -> Table:
        title = f"{len(self._results)} of {self._total} runs{self._rest()}"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in ("cell", "state", "seeds", "progress"):
            table.add_column(column, overflow="fold")
        cells = list(self._study.cells)
        if len(cells) > ROWS:
            going = {name for name, _ in self._going}
            cells = [cell for cell in cells if cell.name in going][:ROWS]
        for cell in cells:
            # What options and reasons hold is no markup.
            table.add_row(*map(Text, (cell.name, *self._row(cell))))
        if len(cells) < len(self._study.cells):
            table.add_row(f"{len(self._study.cells) - len(cells)} other cells")
        return table

    def _row(self, cell: Cell) -> tuple[str, str, str]:
        ended = [r for (name, _), r in self._results.items() if name == cell.name]
        wrong = [r for r in ended if r.state in ("not finite", "failed")]
        running = [(key, going) for key, going in self._going.items() if key[0] == cell.name]
        state = "running" if running else "done" if len(ended) == len(self._study.seeds) else ""
        if wrong:
            state = f"{state}, {len(wrong)} {wrong[0].state}: {wrong[0].reason}".lstrip(", ")
        steps = self._steps[cell.name]
        shown = [
            f"seed {seed}: {last_step(going.directory)}{f'/{steps}' if steps else ''}"
            for (_, seed), going in running
        ]
        return state, f"{len(ended)}/{len(self._study.seeds)}", ", ".join(shown)


def last_step(directory: Path) -> int:
    """Returns the last step that a run has logged, or 0."""
    try:
        with (directory / METRICS).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            return int(json.loads(file.read().split(b"\n")[-2])["step"])
    except (OSError, ValueError, TypeError, LookupError):
        return 0
