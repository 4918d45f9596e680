"""Runs that sinks get, for tests of the sinks."""

import math
from pathlib import Path
from typing import Any

import linear
import numpy as np
import pytest

from bigmodel.experiment import Experiment
from bigmodel.run_directory.history import read_metrics

SHOWN = {"samples": np.arange(12, dtype=np.uint8).reshape(3, 4), "text": "a <sample>"}
NO_METRICS = ("step", "time", "seconds")


def run(
    directory: Path, sinks: tuple[str, ...], *, one: Experiment | None = None, **options: Any
) -> int:
    one = one or linear.experiment(show=lambda _: SHOWN)
    return linear.run(directory, one=one, sinks=sinks, **{"log_every": 5, **options})


def crash(directory: Path, sinks: tuple[str, ...], **options: Any) -> None:
    """A run that fails at step 30, between its training metrics and its evaluation."""
    evaluations = iter((10, 20, 30))

    def show(state: Any) -> Any:
        del state
        if next(evaluations) == 30:
            raise OSError("a crash")
        return SHOWN

    with pytest.raises(OSError, match="a crash"):
        run(directory, sinks, one=linear.experiment(show=show), **options)


def rows(directory: Path) -> dict[int, dict[str, float]]:
    """What ``metrics.jsonl`` has of each step; null is what is not finite."""
    found: dict[int, dict[str, float]] = {}
    for line in read_metrics(directory / "metrics.jsonl"):
        values = {name: value for name, value in line.items() if name not in NO_METRICS}
        found.setdefault(line["step"], {}).update(values)
    return {
        step: {name: math.nan if value is None else value for name, value in values.items()}
        for step, values in found.items()
    }


def computed(found: dict[int, dict[str, float]]) -> dict[int, dict[str, float]]:
    """What is the same each time that a run is made: metrics, but no speeds."""
    return {
        step: {name: value for name, value in values.items() if "/" in name}
        for step, values in found.items()
    }
