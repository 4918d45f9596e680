"""The metrics and figures of a trained run."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import jax

from bigmodel.experiment import Batch, Experiment, InputError, Measured, PyTree, Variables
from bigmodel.inference.trained import Trained
from bigmodel.quantized import restored
from bigmodel.receiving import receiving
from bigmodel.runtime.evaluation import Evaluation, measure, summarize
from bigmodel.runtime.xla import MatmulPrecision, with_precision
from bigmodel.training.compression.reading import reading


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Evaluated:
    """What is left of the state of training: the variables that are evaluated."""

    evaluated: Variables

    @property
    def params(self) -> PyTree:
        """The parameters."""
        return self.evaluated["params"]


def evaluate(run: Trained, *, other: bool = False) -> Evaluation:
    """The metrics and figures of a run on the data that its config names.

    Args:
        run: a trained run.
        other: whether that is other data than it was trained on; all of it is its test set then.

    Raises:
        InputError: the data cannot be used.
    """
    build = run.script.build
    if other and len(inspect.signature(build).parameters) < 2:
        raise InputError(
            f"{run.script.__file__}: its build takes no assets, and so no other data can be "
            "encoded as the run's was; see experiments/"
        )
    experiment = run.build(run.assets) if other else run.build()
    return measured(experiment, run.variables, run.config.run.matmul_precision)


def measured(
    experiment: Experiment, variables: Variables, precision: MatmulPrecision
) -> Evaluation:
    """The metrics and figures of variables, those of few bits too."""

    def eval_step(variables: Variables, batch: Batch) -> Measured:
        return receiving(experiment).eval_step(Evaluated(variables), batch)

    step = jax.jit(with_precision(reading(eval_step), precision))
    splits = measure(step, variables, experiment.data.splits)
    assert splits is not None
    found = summarize(experiment, splits)
    shown = experiment.show(restored(variables)) if experiment.show else {}
    return Evaluation(found.values, {**shown, **found.shown})
