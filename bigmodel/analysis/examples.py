"""What an experiment measures of each example on its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import jax
import numpy as np
from jaxtyping import Float

from bigmodel.experiment import Batch, Experiment, InputError, Mean, Rows, Variables
from bigmodel.inference.measuring import eval_step_of
from bigmodel.inference.trained import Trained

Totals = Mapping[str, Mean]
"""Means by name, of which total and count are float64 ``[example]``."""


def example_means(run: Trained, experiment: Experiment, batches: Iterable[Batch]) -> Totals:
    """All that is a mean, of each example as if there were no other; padding is left out.

    Raises:
        InputError: the network cannot read the batches.
    """
    eval_step = eval_step_of(run, experiment)

    def of_row(variables: Variables, row: Batch) -> Totals:
        measured = eval_step(variables, {name: value[None] for name, value in row.items()})
        return {name: mean for name, mean in measured.items() if isinstance(mean, Mean)}

    compiled = jax.jit(jax.vmap(of_row, in_axes=(None, 0)))
    found: dict[str, list[Mean]] = {}
    for batch in batches:
        real = is_real(batch)
        try:
            measured = jax.device_get(compiled(run.variables, dict(batch)))
        except KeyError as error:
            raise InputError(
                f"{run.path}: these examples have no {error}, which its evaluation reads"
            ) from None
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{run.path} cannot read these examples: {reason}") from None
        for name, mean in measured.items():
            total, count = (np.asarray(part, np.float64)[real] for part in mean)
            found.setdefault(name, []).append(Mean(total, count))
    return {name: Mean(*map(np.concatenate, zip(*of, strict=True))) for name, of in found.items()}


def is_real(batch: Batch) -> np.ndarray:
    """Which examples of a batch are no padding, ``[batch]``."""
    weight = np.asarray(batch["weight"])
    return weight.reshape(len(weight), -1).max(axis=1) > 0


def example_losses(
    run: Trained, experiment: Experiment, batches: Iterable[Batch]
) -> Float[np.ndarray, " example"]:
    """The loss of each example.

    Raises:
        InputError: there is no such loss, or the network cannot read the batches.
    """
    loss = example_means(run, experiment, batches).get("loss")
    if loss is None or np.ndim(loss.total) != 1:
        raise InputError(f"{run.path} measures no loss of an example, by which to attack it")
    if not loss.count.all():
        raise InputError(f"{run.path} has no loss of an example that is alone in its batch")
    return loss.total / loss.count


def taken(
    measured: Mapping[str, Mean | Rows], means: Totals, rows: np.ndarray
) -> dict[str, Mean | Rows]:
    """What would be measured of some examples: the rows of all, and sums of the means of each."""
    found: dict[str, Mean | Rows] = {}
    for name, metric in measured.items():
        if isinstance(metric, Rows):
            values = jax.tree.map(lambda array: array[rows], metric.values)
            found[name] = Rows(values, metric.weight[rows])
        else:
            mean = means[name]
            found[name] = Mean(mean.total[rows].sum(axis=0), mean.count[rows].sum(axis=0))
    return found
