"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bigmodel.errors import naming

# More metrics than these are shown on a line for each split.
LINE = 6

STEPS = "steps_per_second"
T = TypeVar("T")


class Reporter:
    """Shows the step, the loss, the speed and the remaining time.

    Warnings and results are lines that stay; the bar, on a terminal, stays below them.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None

    def __enter__(self) -> Reporter:
        if self._console.is_terminal:
            columns = (
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=self._console, refresh_per_second=4)
            self._bar.add_task("compiling", total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def moved(self, step: int) -> None:
        """Moves the bar; costs nothing where there is none."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step)

    def trained(self, step: int, values: Mapping[str, float], speeds: Mapping[str, float]) -> None:
        """Shows the loss of a step and, where they are known, what is spent and the speeds."""
        text = f"loss {values['train/loss']:.4f}"
        if "train/epsilon" in values:
            text += f"  epsilon {values['train/epsilon']:.3f}"
        if speeds:
            text += f"  {_speed(speeds)}  {clock((self._total - step) / speeds[STEPS])} left"
        if self._bar is None:
            self.line(f"step {step}/{self._total}  {text}")
        else:
            self._bar.update(self._bar.task_ids[0], completed=step, description=text)

    def evaluated(self, step: int, values: Mapping[str, float]) -> None:
        """Shows the metrics of an evaluation."""
        splits: dict[str, list[str]] = {}
        for name, value in values.items():
            splits.setdefault(name.partition("/")[0], []).append(f"{name} {value:.4f}")
        if len(values) <= LINE:
            splits = {"": [text for named in splits.values() for text in named]}
        for named in splits.values():
            self.line(f"step {step}/{self._total}  {'  '.join(named)}")

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        if self._bar is None:
            say(text)
        else:
            self._console.print(text, markup=False)


@contextlib.contextmanager
def counted(values: Iterable[T], what: str, *, shown: bool) -> Iterator[Iterator[T]]:
    """Yields values that are counted on standard error as they are taken, on a terminal."""
    console = Console(file=sys.stderr, highlight=False)
    columns = (TextColumn(f"{what} {{task.completed:,.0f}}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        yield iter(bar.track(values, total=float("inf")))


def _speed(speeds: Mapping[str, float]) -> str:
    """``2.4 steps/s  4.92k tokens/s  MFU 38%  input wait 0%``."""
    shown = [f"{speeds[STEPS]:.1f} steps/s"]
    for unit in ("tokens", "examples"):
        if f"{unit}_per_second" in speeds:
            shown.append(f"{thousands(speeds[f'{unit}_per_second'])} {unit}/s")
    if "mfu" in speeds:
        shown.append(f"MFU {speeds['mfu']:.0%}")
    shown.append(f"input wait {speeds['input_wait']:.0%}")
    return "  ".join(shown)


def thousands(number: float) -> str:
    """Three digits and a power of a thousand: ``4.92k``, ``1.3M``."""
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{letter}"
    return f"{number:.3g}"


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


def redirect_output(path: Path) -> Path:
    """Appends everything that this process prints from now on to a file, and returns its path.

    Raises:
        StorageError: where it cannot be written.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            sys.stdout.flush()
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
    return path


def clock(seconds: float) -> str:
    """``90.0`` as ``1:30``, ``3700.0`` as ``1:01:40``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def print_results(summary: Mapping[str, Any]) -> None:
    """Prints the metrics of a summary, those of its best step, and the digest of its parameters."""
    for name, value in summary.items():
        if "/" in name and not name.startswith("train/"):
            say(f"  {name} {value:.4f}" if value is not None else f"  {name} not finite")
    best = summary.get("best")
    if best is not None and best["step"] != summary["step"]:
        values = (
            f"{name} {'not finite' if value is None else f'{value:.4f}'}"
            for name, value in best.items()
            if "/" in name
        )
        say(f"  best at step {best['step']}: {'  '.join(values)}")
    if spent := summary.get("privacy"):
        say(f"  epsilon {spent['epsilon']:.3f} at delta {spent['delta']:.3g} is spent")
    say(f"  params_digest {summary['params_digest']}")
