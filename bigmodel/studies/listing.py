"""Lists the runs in a folder as a table, including those of studies.

    python launch.py list
    python launch.py list studies/opt --where optimizer.name=adam --sort test/accuracy --descending

Without --metric, each run is shown with the metric that a report would compare. Unfinished runs are
shown with their latest results. If the output is not a terminal, columns are at least two spaces
apart.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bigmodel.experiment import InputError
from bigmodel.nearest import nearest_option
from bigmodel.run_directory.recorded import find_runs
from bigmodel.studies.metric import main_metric
from bigmodel.studies.runs import ENDED, UNREADABLE, SomeRun, read_run
from bigmodel.tracking.progress import say
from bigmodel.tracking.tables import ABSENT, number_text, option_text, show_table

STATES = ("begun", *ENDED, UNREADABLE)
COLUMNS: dict[str, Callable[[SomeRun], Any]] = {
    "run": lambda run: str(run.path),
    "script": lambda run: run.script,
    "status": lambda run: run.state,
    "step": lambda run: run.step,
    "seconds": lambda run: run.seconds,
    "started": lambda run: run.manifest.get("started", 0.0),
}
"""What a table can be sorted by, besides metrics and options."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("folder", nargs="?", type=Path, default=Path("runs"), help="default: runs")
    add(
        "--where",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="only runs with this value of an option",
    )
    add("--status", metavar="STATUS", help=f"only runs with this status: {', '.join(STATES)}")
    add("--script", help="only runs of this script, such as cnn")
    add("--metric", help="the metric to show, such as test/accuracy")
    add("--sort", default="started", help=f"sort by {', '.join(COLUMNS)}, a metric or an option")
    add("--descending", action="store_true", help="the largest first")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Prints the table; raises InputError if no run has what a name asks for."""
    if options:
        raise InputError(f"list takes no options after --; leave out {' '.join(options)}")
    if not parsed.folder.is_dir():
        raise InputError(f"there is no folder {parsed.folder}; name the folder with the runs")
    os.scandir(parsed.folder).close()  # raises for a folder that cannot be read
    runs = [read_run(path) for path in find_runs(parsed.folder)]
    if not runs:
        say(f"{parsed.folder}: no runs")
        return 0
    kept = _kept(parsed, runs)
    if parsed.metric is not None:
        _check(parsed.metric, "metric", {name for run in runs for name in run.metrics})
    key = _sort_key(parsed.sort, runs)
    # Of those without a value the order is that of their names, at the end both ways.
    with_value = [run for run in kept if key(run) is not None]
    with_value.sort(key=key, reverse=parsed.descending)
    ordered = [*with_value, *(run for run in kept if key(run) is None)]
    if ordered:
        _show(ordered, parsed.metric)
    say(f"{len(kept)} of {len(runs)} runs in {parsed.folder}")
    return 0


def _show(runs: Sequence[SomeRun], metric: str | None) -> None:
    header = ["run", "script", "status", "step", metric or "metric", "seconds", "started"]
    rows = [
        [
            str(run.path),
            run.script,
            run.state,
            f"{run.step}/{ABSENT if run.total is None else run.total}",
            _metric(run, metric),
            f"{run.seconds:.1f}",
            _moment(run.manifest.get("started")),
        ]
        for run in runs
    ]
    show_table(header, rows, right=("step", "seconds", "started"))


def _metric(run: SomeRun, metric: str | None) -> str:
    name = metric or main_metric(list(run.metrics)) or "train/loss"
    if name not in run.metrics:
        return ABSENT
    value = number_text(run.metrics[name])
    return f"{name} {value}" if metric is None else value


def _moment(started: float | None) -> str:
    if started is None:
        return ABSENT
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(started))


def _kept(parsed: argparse.Namespace, runs: Sequence[SomeRun]) -> list[SomeRun]:
    """The runs that are selected; a name is right where any run has it."""
    kept = list(runs)
    if parsed.status is not None:
        status = parsed.status.replace("-", " ")
        _check(status, "status", STATES)
        kept = [run for run in kept if run.state == status]
    if parsed.script is not None:
        script = Path(parsed.script).stem
        _check(script, "script", {run.script for run in runs})
        kept = [run for run in kept if run.script == script]
    options = {name for run in runs for name in run.config}
    for text in parsed.where:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--where {text} has no value; write it as optimizer.name=adam")
        name = name.strip().replace("-", "_")
        _check(name, "option", options)
        having = [run for run in kept if name in run.config]
        kept = [run for run in having if same_value(run.config[name], value.strip())]
    return kept


def _sort_key(name: str, runs: Sequence[SomeRun]) -> Callable[[SomeRun], Any]:
    """What runs are ordered by; None for a run that has no such value."""
    if name in COLUMNS:
        return COLUMNS[name]
    option = name.replace("-", "_")
    if any(option in run.config for run in runs):
        values = [run.config[option] for run in runs if option in run.config]
        numbers = all(isinstance(value, int | float) for value in values)
        order = float if numbers else option_text
        return lambda run: order(run.config[option]) if option in run.config else None
    metrics = {metric for run in runs for metric in run.metrics}
    _check(name, "column, metric or option", {*COLUMNS, *metrics})

    def by_metric(run: SomeRun) -> float | None:
        value = run.metrics.get(name)
        return None if value is None or math.isnan(value) else value

    return by_metric


def _check(name: str, what: str, known: Any) -> None:
    """Raises InputError for a name that is not known, with the nearest one that is."""
    if name not in known:
        hint = nearest_option(name, sorted(known))
        raise InputError(f"no run has the {what} {name}; {hint}see launch.py list --help")


def same_value(value: Any, text: str) -> bool:
    """Whether an option's value in ``config.json`` is what a text says.

    Numbers count by their value and tuples as they are typed: ``1e-3``, ``32,64``, ``None``.
    """
    if isinstance(value, list):
        parts = [part for part in text.strip("[]()").replace(",", " ").split() if part]
        return len(parts) == len(value) and all(map(same_value, value, parts))
    if isinstance(value, bool) or value is None:
        return text.lower() in (
            {None: "null", True: "true", False: "false"}[value],
            str(value).lower(),
        )
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text.strip("\"'") == value
