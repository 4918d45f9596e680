"""The names of the metrics of an evaluation."""

from __future__ import annotations

import jax
import numpy as np

from bigmodel.experiment import Experiment
from bigmodel.receiving import receiving
from bigmodel.runtime.compilation import Compiled
from bigmodel.runtime.evaluation import summarize


def metric_names(experiment: Experiment, compiled: Compiled) -> list[str]:
    """The names of the metrics of an evaluation, without evaluating: from zeros."""
    splits = {}
    for split, batches in experiment.data.splits.items():
        shapes = jax.eval_shape(receiving(experiment).eval_step, compiled.state, batches[0])
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        splits[split] = {
            name: type(metric)(metric[0], np.ones_like(metric[1])) for name, metric in zeros.items()
        }
    return list(summarize(experiment, splits).values)
