"""Compiled functions that the runs of one process share."""

from __future__ import annotations

import hashlib
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bigmodel.experiment import Batch, Experiment
from bigmodel.runtime.compilation import Compiled, compile_experiment


class Programs:
    """The compiled functions of experiments, each program once.

    Experiments that differ in numbers of their states alone, such as the learning rate, come to
    the same programs; whether they do is read from the lowered programs themselves. So a run
    is the same, bit for bit, as in a process of its own.
    """

    def __init__(self) -> None:
        self._of_experiment: tuple[Experiment, Mesh, Compiled] | None = None
        self._of_text: dict[str, Compiled] = {}

    def compile(self, experiment: Experiment, mesh: Mesh) -> Compiled:
        """What :func:`compile_experiment` gives, with functions that are compiled already.

        Raises:
            InputError: where the mesh does not divide the batch.
            ValueError: where a parameter is covered by no partition rule.
        """
        last = self._of_experiment
        if last is not None and last[0] is experiment and last[1] == mesh:
            return last[2]
        compiled = compile_experiment(experiment, mesh)
        known = self._of_text.setdefault(_text(experiment, compiled), compiled)
        compiled = known._replace(init=compiled.init)
        self._of_experiment = (experiment, mesh, compiled)
        return compiled


def _text(experiment: Experiment, compiled: Compiled) -> str:
    """A digest of the training step and of the evaluation as the compiler gets them."""
    key = compiled.place_scalar(jax.random.key(0))
    index = compiled.place_scalar(np.int32(0))
    batch = compiled.place(experiment.data.train(0, 0))
    texts = [_lowered(compiled.trace(compiled.state, batch, key, index))]
    evaluated: list[Batch] = [batches[0] for batches in experiment.data.splits.values()][:1]
    for one in evaluated:
        texts.append(_lowered(compiled.trace_evaluate(compiled.state, compiled.place(one))))
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _lowered(traced: Any) -> str:
    return traced.lower().as_text()
