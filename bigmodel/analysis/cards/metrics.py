"""The metrics of a run with intervals, by evaluating it again."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np

from bigmodel.analysis.estimates import Estimate, percentiles
from bigmodel.analysis.examples import example_means, is_real, taken
from bigmodel.experiment import Experiment
from bigmodel.inference.measuring import measure_run
from bigmodel.inference.trained import Trained
from bigmodel.runtime.evaluation import without_padding

DRAWS = 200
MOST = 4_000_000
"""Examples that are drawn at most, for some metrics take long."""
FEWEST = 40


def metrics_with_intervals(
    run: Trained, experiment: Experiment, split: str, *, seed: int
) -> dict[str, Estimate]:
    """All metrics that an evaluation of a split has, by name.

    The intervals are percentiles of the metrics of bootstrap samples of the examples.
    """
    batches = experiment.data.splits[split]
    measured = measure_run(run, experiment, {split: batches})[split]
    means = example_means(run, experiment, batches)
    real = {name: without_padding(name, metric) for name, metric in measured.items()}
    count = sum(int(is_real(batch).sum()) for batch in batches)
    found = _numbers(experiment.summarize(real))
    rng = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {name: [] for name in found}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes of which no example is drawn
        for _ in range(max(FEWEST, min(DRAWS, MOST // count))):
            some = taken(real, means, rng.integers(0, count, count))
            values = _numbers(experiment.summarize(some))
            for name, drawn in draws.items():
                drawn.append(values.get(name, math.nan))
    return {name: Estimate(v, *percentiles(draws[name]), count) for name, v in found.items()}


def _numbers(results: Mapping[str, object]) -> dict[str, float]:
    return {n: float(v) for n, v in results.items() if isinstance(v, float | int)}
