"""What a run has left in its directory."""

import json
from pathlib import Path
from typing import Any

from bigmodel.run_directory.history import read_metrics


def read(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def summary(directory: Path) -> dict[str, Any]:
    return read(directory, "summary.json")


def digest(directory: Path) -> str:
    return summary(directory)["params_digest"]


def lines(directory: Path, metric: str) -> dict[int, float]:
    """The values of a metric by step."""
    history = read_metrics(directory / "metrics.jsonl")
    return {line["step"]: line[metric] for line in history if metric in line}


def logged(directory: Path) -> list[dict[str, Any]]:
    """The history without what is about time."""
    history = read_metrics(directory / "metrics.jsonl")
    return [{n: v for n, v in line.items() if n == "step" or "/" in n} for line in history]
