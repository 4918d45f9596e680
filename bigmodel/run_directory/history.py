"""The metrics that a run has logged, and its best evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bigmodel.errors import StorageError, naming

History: TypeAlias = list[dict[str, Any]]
"""The lines of ``metrics.jsonl``, in order."""


def read_metrics(path: Path) -> History:
    """The lines of a ``metrics.jsonl``; a last line that is cut off is left out."""
    if not path.exists():
        return []
    with naming(path, "read"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    try:
        return [json.loads(line) for line in whole]
    except ValueError as error:
        raise StorageError(f"cannot read {path}: {error}") from None


def best_step(history: History, metric: str, *, maximize: bool) -> tuple[int, float, int] | None:
    """The best evaluation of a history.

    Returns:
        Its step, its value and the number of evaluations since; None where the metric was
        never evaluated. Of equal values the first is the best.
    """
    evaluations = [(line["step"], line[metric]) for line in history if line.get(metric) is not None]
    if not evaluations:
        return None
    values = [value if maximize else -value for _, value in evaluations]
    index = int(np.argmax(values))
    return (*evaluations[index], len(evaluations) - 1 - index)


def evaluation_at(history: History, step: int, split: str = "") -> dict[str, Any]:
    """The metrics that a history has of the evaluation splits at a step, or of one of them."""
    return {
        name: value
        for line in history
        if line["step"] == step
        for name, value in line.items()
        if "/" in name and not name.startswith("train/") and name.startswith(split)
    }
