"""Cross-validation: a run for each fold of the data, and their summary."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bigmodel.config import with_values
from bigmodel.experiment import InputError
from bigmodel.files import write_json
from bigmodel.processes.distributed import is_first
from bigmodel.run_directory.directory import SUMMARY, RunDirectory
from bigmodel.runtime.settings import Settings
from bigmodel.tracking.progress import say

FOLDS = "folds.json"


def has_folds(config: Settings) -> bool:
    """Whether a config asks for a run for each fold, and not for one run."""
    data = getattr(config, "data", None)
    return getattr(data, "folds", 0) > 0 and getattr(data, "fold", None) is None


def check_readable_again(config: Settings, why: str) -> None:
    """Raises InputError if the data is a pipe, which can be read only once."""
    path = getattr(getattr(config, "data", None), "path", "")
    if path and Path(path).is_fifo():
        raise InputError(
            f"--data.path {path} is a pipe and can be read once, but {why}; use a file"
        )


def cross_validate(config: Any, directory: Path, run: Callable[[Any], int]) -> int:
    """Runs each fold in turn; those that are complete already are not run again.

    Their directories are below this one, whose ``folds.json`` gets the mean, the standard deviation
    (of a sample) and the values of each metric. ``run`` runs the config of one fold and gives its
    exit status; that of the first fold which did not come to its end is returned, or 0.

    Raises:
        InputError: for a single fold.
    """
    if config.data.folds < 2:
        raise InputError(f"--data.folds {config.data.folds} must be 2 or more, or 0 for none")
    summaries = []
    for fold in range(config.data.folds):
        one = with_values(config, {"data.fold": fold, "run.dir": str(directory / f"fold-{fold}")})
        say(f"fold {fold}, of {config.data.folds} folds")
        status = run(one)
        summary = RunDirectory(Path(one.run.dir)).read_json(SUMMARY)
        if summary is None:
            return status
        summaries.append(summary)
    values = {
        name: [summary[name] for summary in summaries]
        for name in summaries[0]
        if "/" in name and not name.startswith("train/")
    }
    found = {name: spread(each) for name, each in values.items()}
    if is_first():
        write_json(directory / FOLDS, {"folds": config.data.folds, "metrics": found})
    say(f"{directory / FOLDS}: {config.data.folds} folds, mean and standard deviation")
    for name, each in found.items():
        if each["mean"] is not None:
            say(f"  {name} {each['mean']:.4f} ± {each['std']:.4f}")
    return 0


def spread(values: list[float | None]) -> dict[str, Any]:
    """Mean, standard deviation and the values; no mean where one of them is not finite."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return {"mean": None, "std": None, "values": values}
    mean, std = statistics.fmean(numbers), statistics.stdev(numbers)
    return {"mean": mean, "std": std, "values": values}
