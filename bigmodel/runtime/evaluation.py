"""Evaluation by exact sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from bigmodel.experiment import Batch, Experiment, Figure, Mean, Measured, Rows, Shown
from bigmodel.runtime.compilation import Compiled

Splits: TypeAlias = Mapping[str, Measured]
"""What was measured over the whole of each split."""


class Evaluation(NamedTuple):
    """Metrics by ``split/name``, and figures by ``split_name``."""

    values: dict[str, float]
    shown: Shown


def measure(
    compiled: Compiled,
    state: Any,
    splits: Mapping[str, Sequence[Batch]],
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> Splits | None:
    """What is measured over each split.

    Totals and counts of the batches are added up in float64 on the host, each while the
    device works on the next batch.

    Returns:
        None where ``cancelled()`` became true on the way.
    """
    found: dict[str, Measured] = {}
    for split, batches in splits.items():
        parts: dict[str, Any] = {}
        pending: Measured = {}
        for batch in batches:
            if cancelled():
                return None
            measured = compiled.evaluate(state, compiled.place(batch))
            _add(parts, pending)
            pending = measured
        _add(parts, pending)
        found[split] = _whole(parts)
    return found


def summarize(experiment: Experiment, splits: Splits) -> Evaluation:
    """The results of what was measured, without the rows that are padding.

    Raises:
        ValueError: where the weights of rows are not one for each row.
    """
    values: dict[str, float] = {}
    shown: dict[str, Figure] = {}
    for split, measured in splits.items():
        real = {name: _real(name, metric) for name, metric in measured.items()}
        for name, value in experiment.summarize(real).items():
            if isinstance(value, float | int):
                values[f"{split}/{name}"] = value
            else:
                shown[f"{split}_{name}"] = value
    return Evaluation(values, shown)


def metric_names(experiment: Experiment, compiled: Compiled) -> list[str]:
    """The names of the metrics of an evaluation, without evaluating: from zeros."""
    splits = {}
    for split, batches in experiment.data.splits.items():
        shapes = jax.eval_shape(experiment.eval_step, compiled.state, batches[0])
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        parts: dict[str, Any] = {}
        _add(parts, {name: type(m)(m[0], np.ones_like(m[1])) for name, m in zeros.items()})
        splits[split] = _whole(parts)
    return list(summarize(experiment, splits).values)


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


def _real(name: str, metric: Mean | Rows) -> Mean | Rows:
    if isinstance(metric, Mean):
        return metric
    kept = np.asarray(metric.weight) > 0
    if kept.ndim != 1:
        raise ValueError(f"the weights of the rows {name} have shape {kept.shape}; one for each")
    return Rows(jax.tree.map(lambda array: array[kept], metric.values), metric.weight[kept])
