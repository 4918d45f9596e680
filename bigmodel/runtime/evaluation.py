"""Evaluation by exact sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from bigmodel.experiment import Experiment, Figure, Mean, Measured, Results, Rows, Shown
from bigmodel.runtime.compilation import Compiled


class Evaluation(NamedTuple):
    """Metrics by ``split/name``, and what a person looks at by ``split_name``."""

    values: dict[str, float]
    shown: Shown


def evaluate(
    experiment: Experiment, compiled: Compiled, state: Any, *, cancelled: Callable[[], bool]
) -> Evaluation | None:
    """The results of all evaluation splits.

    Totals and counts of the batches are added up in float64 on the host, each while the
    device works on the next batch.

    Returns:
        None where ``cancelled()`` became true on the way.
    """
    results: dict[str, Results] = {}
    for split, batches in experiment.data.splits.items():
        parts: dict[str, Mean | list[Rows]] = {}
        pending = None
        for batch in batches:
            if cancelled():
                return None
            metrics = compiled.evaluate(state, compiled.place(batch))
            if pending is not None:
                _add(parts, pending)
            pending = metrics
        if pending is not None:
            _add(parts, pending)
        results[split] = experiment.summarize(_whole(parts))
    return _sort(results)


def metric_names(experiment: Experiment, compiled: Compiled) -> list[str]:
    """The names that :func:`evaluate` gives, without evaluating: from zeros."""
    results: dict[str, Results] = {}
    for split, batches in experiment.data.splits.items():
        shapes = jax.eval_shape(experiment.eval_step, compiled.state, batches[0])
        blank = {}
        for name, metric in shapes.items():
            first, second = metric
            zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), first)
            blank[name] = type(metric)(zeros, np.ones(second.shape, second.dtype))
        parts: dict[str, Mean | list[Rows]] = {}
        _add(parts, blank)
        results[split] = experiment.summarize(_whole(parts))
    return list(_sort(results).values)


def _add(parts: dict[str, Mean | list[Rows]], metrics: Measured) -> None:
    """Takes up what one batch measured."""
    for name, metric in jax.device_get(metrics).items():
        before = parts.get(name)
        if isinstance(metric, Rows):
            assert not isinstance(before, Mean)
            parts[name] = [*(before or ()), _real(metric)]
            continue
        total, count = np.asarray(metric.total, np.float64), np.asarray(metric.count, np.float64)
        if before is not None:
            assert isinstance(before, Mean)
            total, count = before.total + total, before.count + count
        parts[name] = Mean(total, count)


def _real(rows: Rows) -> Rows:
    kept = np.asarray(rows.weight) > 0
    return Rows(jax.tree.map(lambda array: array[kept], rows.values), rows.weight[kept])


def _whole(parts: Mapping[str, Mean | list[Rows]]) -> Measured:
    """Each metric over all batches."""
    return {
        name: part if isinstance(part, Mean) else jax.tree.map(lambda *a: np.concatenate(a), *part)
        for name, part in parts.items()
    }


def _sort(results: Mapping[str, Results]) -> Evaluation:
    values: dict[str, float] = {}
    shown: dict[str, Figure] = {}
    for split, named in results.items():
        for name, value in named.items():
            if isinstance(value, float | int):
                values[f"{split}/{name}"] = value
            else:
                shown[f"{split}_{name}"] = value
    return Evaluation(values, shown)
