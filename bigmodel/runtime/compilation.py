"""The compiled functions of a run: one trace each, laid out over a mesh."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from bigmodel.experiment import Array, Batch, Experiment, Key, Measured, Metrics, PyTree
from bigmodel.partition import GRID
from bigmodel.processes.distributed import ordered
from bigmodel.processes.placing import place_scalar, placer, rows_held
from bigmodel.receiving import receiving
from bigmodel.runtime.calls import Block, is_traced, repeated, traced_once
from bigmodel.runtime.xla import closed, run_once
from bigmodel.sharding.mesh import (
    batch_shardings,
    check_batch,
    grid_of,
    replicated,
    state_shardings,
)
from bigmodel.tree import named_leaves, which_finite


class Report(NamedTuple):
    """What a step reports: its metrics, and which of the values in ``names`` are finite.

    ``step`` is the number of updates, this one included. Of several runs at once, all have the
    axis of the runs first.
    """

    metrics: Metrics
    healthy: Array
    finite: Array
    step: Array


class Compiled(NamedTuple):
    """The functions of an experiment on a mesh, and where their arguments belong.

    ``step(state, batch, key, index)`` returns the next state, the next index and a
    :class:`Report`. It consumes the state and the index, which stays on the devices. ``several``
    is the same with a :class:`~bigmodel.runtime.calls.Block` in the place of the batch.
    ``inspect`` says which parameters of a state are finite, in the order of their paths.
    ``evaluate`` takes a batch as ``place`` returns it. ``trace`` takes the arguments of ``step`` or
    ``several``, or their shapes, and returns what is to be compiled; the first call then does not
    trace again. ``rows`` are those of a training batch that this process makes, and ``place(batch,
    own=True)`` puts them on the devices. ``state`` has the shapes and shardings of a state.
    ``names`` says what each entry of ``Report.finite`` is, once the step has been traced.
    """

    init: Callable[[Key], Any]
    step: Callable[[Any, Batch, Key, Array], tuple[Any, Array, Report]]
    several: Callable[[Any, Block, Key, Array], tuple[Any, Array, Report]]
    trace: Callable[[Any, Any, Key, Array], jax.stages.Traced]
    inspect: Callable[[Any], Array]
    evaluate: Callable[[Any, Batch], Measured]
    rows: tuple[slice, ...]
    place: Callable[..., Batch]
    place_scalar: Callable[[Any], Array]
    state: PyTree
    names: list[str]


def compile_experiment(
    experiment: Experiment, mesh: Mesh, *, runs: tuple[int, ...] = ()
) -> Compiled:
    """Jits the functions of an experiment with shardings for a mesh.

    ``runs`` is the shape of the keys: empty for one run, ``(n,)`` for :func:`side_by_side`'s.

    Raises:
        InputError: where the mesh does not divide the batch.
        ValueError: where a parameter is covered by no partition rule.
    """

    def on_mesh(function: Callable[..., Any]) -> Callable[..., Any]:
        # What is inside may ask which axes there are. Entered before, the mesh would place
        # arguments too. JAX's debuggers call the function outside of a compiled one.
        @functools.wraps(function)
        def inside(*arguments: Any) -> Any:
            if not is_traced(arguments):
                return function(*arguments)
            grid = GRID.set(grid_of(mesh))
            try:
                with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                    return function(*arguments)
            finally:
                GRID.reset(grid)

        return inside

    experiment = receiving(experiment)
    # Traced here for its shapes, and not again where it is compiled.
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), runs))
    initial = jax.jit(on_mesh(experiment.init)).trace(keys)
    shapes = initial.out_info
    shardings = state_shardings(mesh, experiment.partition, shapes)
    check_batch(mesh, experiment.data.batch_size)
    if "sequence" in mesh.shape:
        # What it does not divide is to be said before anything starts.
        batch_shardings(mesh, experiment.partition, experiment.data.example)
    whole = replicated(mesh)
    names: list[str] = []
    held = rows_held(mesh, experiment.data.batch_size)
    place = placer(mesh, experiment.partition, held)

    def step(state: Any, batch: Batch, key: Key, index: Array) -> tuple[Any, Array, Report]:
        fold = jax.vmap(jax.random.fold_in, (0, None)) if runs else jax.random.fold_in
        key_of_step = fold(key, index)
        state, metrics, gradients = experiment.train_step(state, batch, key_of_step)
        watched = {
            "loss": metrics["loss"].total,
            **{f"gradient {path}": leaf for path, leaf in named_leaves(gradients).items()},
        }
        names[:] = watched
        finite = which_finite([*watched.values()], leading=len(runs))
        healthy = jnp.all(finite, axis=-1)
        at = jnp.broadcast_to(index + 1, healthy.shape)
        return state, index + 1, Report(metrics, healthy, finite, at)

    def inspect(state: Any) -> Array:
        return which_finite(jax.tree.leaves(state.params), leading=len(runs))

    targets = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )
    stepping = functools.partial(
        jax.jit,
        in_shardings=(shardings, None, whole, whole),
        out_shardings=(shardings, whole, whole),
        donate_argnums=(0, 3),
    )
    jitted = stepping(traced_once(on_mesh(step), ("state", "batch", "key", "index")))
    many = stepping(repeated(jitted))
    evaluate = jax.jit(
        traced_once(on_mesh(experiment.eval_step), ("state", "batch")),
        in_shardings=(shardings, None),
        out_shardings=whole,
    )
    init = jax.jit(closed(initial), out_shardings=shardings, compiler_options=run_once(mesh))
    return Compiled(
        init=ordered(functools.partial(init, initial.jaxpr.consts)),
        step=ordered(jitted),
        several=ordered(many),
        inspect=ordered(jax.jit(inspect, in_shardings=(shardings,), out_shardings=whole)),
        trace=lambda state, batch, key, index: (many if isinstance(batch, Block) else jitted).trace(
            state, batch, key, index
        ),
        evaluate=ordered(evaluate),
        rows=held.rows,
        place=place,
        place_scalar=lambda value: place_scalar(value, whole),
        state=targets,
        names=names,
    )
