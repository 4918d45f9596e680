"""The metrics and figures of a trained run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax

from bigmodel.experiment import Batch, Experiment, InputError, Measured, PyTree, Variables
from bigmodel.inference.trained import Trained
from bigmodel.quantized import restored
from bigmodel.receiving import receiving
from bigmodel.runtime.evaluation import Evaluation, Splits, measure, summarize
from bigmodel.runtime.xla import with_precision
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


def rebuilt(run: Trained, *, other: bool = False) -> Experiment:
    """The experiment of a run, with the data that its config names.

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
    return run.build(run.assets) if other else run.build()


def evaluating(experiment: Experiment) -> Callable[[Variables, Batch], Measured]:
    """What an experiment measures of variables and a batch as its data make it."""
    eval_step = receiving(experiment).eval_step

    def evaluate(variables: Variables, batch: Batch) -> Measured:
        return eval_step(Evaluated(variables), batch)

    return evaluate


def eval_step_of(run: Trained, experiment: Experiment) -> Callable[[Variables, Batch], Measured]:
    """The same at a run's precision, and for variables of few bits too."""
    return with_precision(reading(evaluating(experiment)), run.config.run.matmul_precision)


def measure_run(
    run: Trained, experiment: Experiment, splits: Mapping[str, Sequence[Batch]]
) -> Splits:
    """What the experiment of a run measures of some splits."""
    found = measure(jax.jit(eval_step_of(run, experiment)), run.variables, splits)
    assert found is not None
    return found


def evaluate(run: Trained, *, other: bool = False) -> Evaluation:
    """The metrics and figures of a run on the data that its config names; see :func:`rebuilt`.

    Raises:
        InputError: the data cannot be used.
    """
    experiment = rebuilt(run, other=other)
    found = summarize(experiment, measure_run(run, experiment, experiment.data.splits))
    shown = experiment.show(restored(run.variables)) if experiment.show else {}
    return Evaluation(found.values, {**shown, **found.shown})
