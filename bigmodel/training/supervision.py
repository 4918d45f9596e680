"""From a model, a loss and an optimizer to an experiment: the common case in one call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypedDict

import jax
import jax.numpy as jnp
import optax

from bigmodel.experiment import (
    Batch,
    Data,
    Experiment,
    Key,
    Mean,
    Measured,
    Metrics,
    Model,
    PyTree,
    Results,
    Rows,
    Shown,
    State,
    Variables,
    scalars,
)
from bigmodel.frozen import unfrozen
from bigmodel.partition import unsharded
from bigmodel.training.compression.pruning import projected, projected_gradients
from bigmodel.training.ensemble import per_member
from bigmodel.training.gradients import penalty
from bigmodel.training.metrics import Metric
from bigmodel.training.optimizers import Optimizer, kept, moving_average
from bigmodel.training.privacy.private import protected
from bigmodel.training.skipping import none_skipped, skip_nonfinite
from bigmodel.training.transfer.beginning import with_beginning
from bigmodel.training.transfer.freezing import freezing
from bigmodel.tree import widened


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """What supervised training changes.

    ``step`` counts the updates that were made. ``variables`` are the model's collections other
    than its parameters; ``average`` is the moving average of both, but for what is frozen, and
    ``skipped`` counts updates that were not made (:class:`~bigmodel.training.skipping.Skipped`),
    each None where the options ask for none. JAX also makes states of shardings and shapes.
    """

    step: PyTree
    params: PyTree
    variables: PyTree
    opt_state: PyTree
    average: PyTree
    skipped: PyTree

    @property
    def evaluated(self) -> Variables:
        """The averaged variables where there are any, else the last ones."""
        return {"params": self.params, **self.variables, **(self.average or {})}


class Report(TypedDict):
    """What :func:`supervised` takes to report more than means, as keyword arguments."""

    gathered: Mapping[str, Callable[[PyTree, Batch], PyTree]]
    summarize: Callable[[Measured], Results]
    maximize: Collection[str]


def supervised(
    model: Model,
    loss: Metric,
    metrics: Mapping[str, Metric],
    optimizer: Optimizer,
    data: Data,
    *,
    steps: int,
    show: Callable[[Variables], Shown] | None = None,
    gathered: Mapping[str, Callable[[PyTree, Batch], PyTree]] = MappingProxyType({}),
    summarize: Callable[[Measured], Results] = scalars,
    maximize: Collection[str] = (),
) -> Experiment:
    """An experiment that minimises the mean of a loss over batches.

    Args:
        model: the network, or an ensemble of such; the optimizer says what of it is frozen.
        loss: ``(outputs, batch) -> Mean``, differentiated.
        metrics: more such functions by name, reported beside ``loss``.
        optimizer: options of the Optax chain, penalties, accumulation and averaging.
        data: training batches and evaluation splits.
        steps: length of the run, which the schedule of the learning rate needs.
        show: figures for a person, made of the variables that are evaluated.
        gathered: functions ``(outputs, batch)`` of one row for each example, such as its label,
            which ``summarize`` gets by name as an array over the whole split.
        summarize: from all that an evaluation measured to results.
        maximize: names of the metrics and results of which more is better.

    Raises:
        InputError: where the optimizer's parts do not divide the batch.
    """
    model = freezing(model, optimizer.freeze)
    data, gradients_of, privacy = protected(model, data, optimizer, steps=steps)
    data = with_beginning(data, model)
    learning_rate = optimizer.learning_rate_schedule(steps)
    transform = optimizer.transform(steps)
    penalised = bool(optimizer.l1 or optimizer.l2)
    example = data.receive(data.example)

    def init(key: Key) -> TrainState:
        variables = dict(model.init(key, example))
        params = variables.pop("params")
        average = None
        if optimizer.ema is not None:
            average = jax.tree.map(jnp.copy, unfrozen({"params": params, **variables}))
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=optax.tree.cast(params, optimizer.parameter_dtype),
            variables=variables,
            opt_state=transform.init(params),
            average=average,
            skipped=none_skipped(optimizer.skip_nonfinite),
        )

    def measure(outputs: PyTree, batch: Batch) -> dict[str, Mean]:
        named = {"loss": loss, **metrics}
        return {name: per_member(function)(outputs, batch) for name, function in named.items()}

    def objective(
        params: PyTree, variables: Variables, batch: Batch, key: Key
    ) -> tuple[Mean, Metrics, Variables]:
        whole = unsharded({"params": params, **variables}, model.partition)
        outputs, updates = model.apply(whole, batch, train=True, key=key)
        measured = measure(outputs, batch)
        return measured["loss"], measured, updates

    def train_step(state: TrainState, batch: Batch, key: Key) -> tuple[TrainState, Metrics, PyTree]:
        before = widened(state.params)
        gradients, measured, variables = gradients_of(
            objective, before, state.variables, batch, key
        )
        one = jnp.ones((), jnp.float32)
        extra = {"learning_rate": Mean(learning_rate(state.step), one)}
        if penalised:
            value, added = jax.value_and_grad(penalty)(before, optimizer)
            gradients = jax.tree.map(jnp.add, gradients, added)
            extra["penalty"] = Mean(value, one)
        gradients = projected_gradients(model, gradients, before, state.step, steps)
        extra["gradient_norm"] = Mean(optax.tree.norm(gradients), one)
        updates, opt_state = transform.update(gradients, state.opt_state, before)
        params = kept(optax.apply_updates(before, updates), like=state.params, key=key)
        average = state.average
        if optimizer.ema is not None:
            new = unfrozen({"params": params, **variables})
            average = moving_average(average, new, decay=optimizer.ema, step=state.step)
        params, average, zeros = projected(model, before, params, average, state.step, steps)
        after = TrainState(state.step + 1, params, variables, opt_state, average, state.skipped)
        metrics = {**measured, **extra, **zeros}
        return skip_nonfinite(state, after, metrics, gradients, limit=optimizer.skip_nonfinite)

    def eval_step(state: State, batch: Batch) -> Measured:
        whole = unsharded(state.evaluated, model.partition)
        outputs, _ = model.apply(whole, batch, train=False, key=None)
        measured: dict[str, Mean | Rows] = {**measure(outputs, batch)}
        for name, function in gathered.items():
            measured[name] = Rows(function(outputs, batch), batch["weight"])
        return measured

    return Experiment(
        init,
        train_step,
        eval_step,
        data,
        model.partition,
        show,
        summarize,
        maximize=frozenset(maximize),
        privacy=privacy,
    )
