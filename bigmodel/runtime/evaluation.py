"""Evaluation by exact sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bigmodel.experiment import Experiment, Mean
from bigmodel.runtime.compilation import Compiled


def evaluate(
    experiment: Experiment, compiled: Compiled, state: Any, *, cancelled: Callable[[], bool]
) -> dict[str, float] | None:
    """The metrics of all evaluation splits, ``split/name`` to number.

    Totals and counts of the batches are added up in float64 on the host, each while the
    device works on the next batch.

    Returns:
        None where ``cancelled()`` became true on the way.
    """
    results: dict[str, float] = {}
    for split, batches in experiment.data.splits.items():
        sums: dict[str, Mean] = {}
        pending = None
        for batch in batches:
            if cancelled():
                return None
            metrics = compiled.evaluate(state, compiled.place(batch))
            if pending is not None:
                _add(sums, pending)
            pending = metrics
        if pending is not None:
            _add(sums, pending)
        means = {name: mean.total / mean.count for name, mean in sums.items()}
        for name, value in experiment.summarize(means).items():
            results[f"{split}/{name}"] = value
    return results


def metric_names(experiment: Experiment, compiled: Compiled) -> list[str]:
    """The names that :func:`evaluate` gives, without evaluating."""
    names = []
    for split, batches in experiment.data.splits.items():
        shapes = jax.eval_shape(experiment.eval_step, compiled.state, batches[0])
        means = {name: np.zeros(mean.total.shape) for name, mean in shapes.items()}
        names += [f"{split}/{name}" for name in experiment.summarize(means)]
    return names


def _add(sums: dict[str, Mean], metrics: Any) -> None:
    for name, mean in jax.device_get(metrics).items():
        total = np.asarray(mean.total, np.float64)
        count = np.asarray(mean.count, np.float64)
        before = sums.get(name)
        sums[name] = (
            Mean(total, count)
            if before is None
            else Mean(before.total + total, before.count + count)
        )
