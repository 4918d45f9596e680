"""A model, a loss and an optimizer to an experiment: the common case in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import jax
import jax.numpy as jnp
import optax

from bigmodel.experiment import (
    Array,
    Batch,
    Data,
    Experiment,
    InputError,
    Key,
    Mean,
    Measured,
    Metrics,
    Model,
    PyTree,
    Results,
    Rows,
    Shown,
    Variables,
    nothing_to_show,
    scalars,
)
from bigmodel.training.gradients import mean_gradients, penalty
from bigmodel.training.metrics import Metric
from bigmodel.training.optimizers import Optimizer, moving_average, peak_rate


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """What supervised training changes.

    ``variables`` are the model's collections other than its parameters, ``average`` the
    moving average of the parameters, None where there is none.
    """

    step: Array
    params: PyTree
    variables: Variables
    opt_state: PyTree
    average: PyTree | None

    @property
    def evaluated(self) -> Variables:
        """The variables to evaluate and to show: averaged parameters where there are any."""
        params = self.params if self.average is None else self.average
        return {"params": params, **self.variables}


def supervised(
    model: Model,
    loss: Metric,
    metrics: Mapping[str, Metric],
    optimizer: Optimizer,
    data: Data,
    *,
    steps: int,
    show: Callable[[TrainState], Shown] = nothing_to_show,
    gathered: Mapping[str, Callable[[PyTree, Batch], PyTree]] = MappingProxyType({}),
    summarize: Callable[[Measured], Results] = scalars,
) -> Experiment:
    """An experiment that minimises the mean of a loss over batches.

    Args:
        model: the network.
        loss: ``(outputs, batch) -> Mean``, differentiated.
        metrics: more such functions by name, reported beside ``loss``.
        optimizer: options of the Optax chain, penalties, accumulation and averaging.
        data: training batches and evaluation splits.
        steps: length of the run, which the learning rate's schedule needs.
        show: what a person looks at at each evaluation.
        gathered: functions ``(outputs, batch)`` of one row for each example, such as its label,
            which ``summarize`` gets by name as an array over the whole split.
        summarize: from all that an evaluation measured to results.

    Raises:
        InputError: where the optimizer's parts do not divide the batch.
    """
    if data.batch_size % optimizer.accumulate:
        raise InputError(
            f"--optimizer.accumulate {optimizer.accumulate} does not divide "
            f"--data.batch-size {data.batch_size}; use a multiple of it"
        )
    transform = optimizer.transform(steps)
    penalised = bool(optimizer.l1 or optimizer.l2)
    example = data.train(0, 0)

    def init(key: Key) -> TrainState:
        variables = dict(model.init(key, example))
        params = variables.pop("params")
        average = None if optimizer.ema is None else jax.tree.map(jnp.copy, params)
        opt_state = transform.init(params)
        return TrainState(jnp.zeros((), jnp.int32), params, variables, opt_state, average)

    def measure(outputs: PyTree, batch: Batch) -> dict[str, Mean]:
        named = {"loss": loss, **metrics}
        return {name: function(outputs, batch) for name, function in named.items()}

    def objective(
        params: PyTree, variables: Variables, batch: Batch, key: Key
    ) -> tuple[Mean, Metrics, Variables]:
        outputs, updates = model.apply({"params": params, **variables}, batch, train=True, key=key)
        measured = measure(outputs, batch)
        return measured["loss"], measured, updates

    def train_step(state: TrainState, batch: Batch, key: Key) -> tuple[TrainState, Metrics, PyTree]:
        gradients, measured, variables = mean_gradients(
            objective, state.params, state.variables, batch, key, parts=optimizer.accumulate
        )
        one = jnp.ones((), jnp.float32)
        rate = optimizer.rate(steps, peak_rate(state.opt_state))
        extra = {"learning_rate": Mean(rate(state.step), one)}
        if penalised:
            value, added = jax.value_and_grad(penalty)(state.params, optimizer)
            gradients = jax.tree.map(jnp.add, gradients, added)
            extra["penalty"] = Mean(value, one)
        extra["gradient_norm"] = Mean(optax.tree.norm(gradients), one)
        updates, opt_state = transform.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if optimizer.ema is not None:
            average = moving_average(average, params, decay=optimizer.ema, step=state.step)
        state = TrainState(state.step + 1, params, variables, opt_state, average)
        return state, {**measured, **extra}, gradients

    def eval_step(state: TrainState, batch: Batch) -> Measured:
        outputs, _ = model.apply(state.evaluated, batch, train=False, key=None)
        measured: dict[str, Mean | Rows] = {**measure(outputs, batch)}
        for name, function in gathered.items():
            measured[name] = Rows(function(outputs, batch), batch["weight"])
        return measured

    return Experiment(init, train_step, eval_step, data, model.partition, show, summarize)
