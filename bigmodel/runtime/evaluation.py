"""Evaluation by exact sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from bigmodel.data.ahead import Ahead
from bigmodel.experiment import Batch, Experiment, Figure, Mean, Measured, Rows, Shown

Splits: TypeAlias = Mapping[str, Measured]
"""What was measured over the whole of each split."""


class Evaluation(NamedTuple):
    """Metrics by ``split/name``, and figures by ``split_name``."""

    values: dict[str, float]
    shown: Shown


def measure(
    evaluate: Callable[[Any, Batch], Measured],
    state: Any,
    splits: Mapping[str, Sequence[Batch]],
    *,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    cancelled: Callable[[], bool] = lambda: False,
) -> Splits | None:
    """What is measured over each split.

    Batches are made and placed ahead of time, by another thread. Totals and counts are added up in
    float64 on the host, each while the device works on the next batch.

    Args:
        evaluate: an experiment's ``eval_step``, compiled, of a batch as ``place`` returns it.
        state: what it evaluates.
        splits: batches by the name of their split.
        place: puts a batch where it is evaluated.
        cancelled: whether to stop.

    Returns:
        None where ``cancelled()`` became true on the way.
    """
    parts: dict[str, dict[str, Any]] = {split: {} for split in splits}
    each = ((split, at) for split, batches in splits.items() for at in range(len(batches)))
    before: tuple[str, Measured] | None = None
    with closing(Ahead(lambda of: (of[0], place(splits[of[0]][of[1]])), each)) as made:
        for split, batch in made:
            if cancelled():
                return None
            measured = evaluate(state, batch)
            if before:
                _add(parts[before[0]], before[1])
            before = split, measured
    if before:
        _add(parts[before[0]], before[1])
    return {split: _whole(found) for split, found in parts.items()}


def summarize(experiment: Experiment, splits: Splits) -> Evaluation:
    """The results of what was measured, without the rows that are padding.

    Raises:
        ValueError: where the weights of rows are not one for each row.
    """
    values: dict[str, float] = {}
    shown: dict[str, Figure] = {}
    for split, measured in splits.items():
        real = {name: without_padding(name, metric) for name, metric in measured.items()}
        for name, value in experiment.summarize(real).items():
            if isinstance(value, float | int):
                values[f"{split}/{name}"] = value
            else:
                shown[f"{split}_{name}"] = value
    return Evaluation(values, shown)


def _add(parts: dict[str, Any], measured: Measured) -> None:
    """Adds what one batch measured to means, and to lists of rows."""
    for name, metric in jax.device_get(measured).items():
        if isinstance(metric, Rows):
            parts.setdefault(name, []).append(metric)
            continue
        total, count = (np.asarray(part, np.float64) for part in metric)
        before = parts.get(name, Mean(0.0, 0.0))
        parts[name] = Mean(before.total + total, before.count + count)


def _whole(parts: Mapping[str, Any]) -> Measured:
    """Each metric over all batches."""
    return {
        name: part if isinstance(part, Mean) else jax.tree.map(lambda *a: np.concatenate(a), *part)
        for name, part in parts.items()
    }


def without_padding(name: str, metric: Mean | Rows) -> Mean | Rows:
    """A mean as it is, and rows without those of weight 0."""
    if isinstance(metric, Mean):
        return metric
    kept = np.asarray(metric.weight) > 0
    if kept.ndim != 1:
        raise ValueError(f"the weights of the rows {name} have shape {kept.shape}; one for each")
    return Rows(jax.tree.map(lambda array: array[kept], metric.values), metric.weight[kept])
