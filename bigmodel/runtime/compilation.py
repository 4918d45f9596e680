"""The compiled functions of a run: one trace each, laid out over a mesh."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from bigmodel.experiment import Array, Batch, Experiment, Key, Measured, Metrics, PyTree
from bigmodel.processes.distributed import must_wait_for_steps, place_scalar, placing
from bigmodel.sharding.mesh import batch_shardings, check_batch, replicated, state_shardings
from bigmodel.tree import named_leaves, which_finite


class RetraceError(TypeError):
    """A compiled step was given arguments of other shapes than at first."""


class Report(NamedTuple):
    """What a step reports: its metrics, and which of the values in ``names`` are finite.

    Of several runs at once, all have the axis of the runs first.
    """

    metrics: Metrics
    healthy: Array
    finite: Array


class Compiled(NamedTuple):
    """The functions of an experiment on a mesh, and where their arguments belong.

    ``step(state, batch, key, index)`` returns the next state, the next index and a
    :class:`Report`. It consumes the state and the index, which stays on the devices.
    ``inspect`` says which parameters of a state are finite, in the order of their paths.
    ``evaluate`` takes a batch of the host. ``trace`` takes the arguments of ``step``, or their
    shapes, and returns what is to be compiled; the first step then does not trace again. ``state``
    has the shapes and shardings of a state. ``names`` says what each entry of ``Report.finite``
    is, once the step has been traced.
    """

    init: Callable[[Key], Any]
    step: Callable[[Any, Batch, Key, Array], tuple[Any, Array, Report]]
    trace: Callable[[Any, Batch, Key, Array], jax.stages.Traced]
    inspect: Callable[[Any], Array]
    evaluate: Callable[[Any, Batch], Measured]
    place: Callable[[Batch], Batch]
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
    shapes = jax.eval_shape(experiment.init, jax.random.split(jax.random.key(0), runs))
    shardings = state_shardings(mesh, experiment.partition, shapes)
    check_batch(mesh, experiment.data.batch_size)
    if "sequence" in mesh.shape:
        # What it does not divide is to be said before anything starts.
        batch_shardings(mesh, experiment.partition, experiment.data.train(0, 0))
    whole = replicated(mesh)
    names: list[str] = []

    placed: dict[Any, Callable[[Batch], Batch]] = {}

    def place(batch: Batch) -> Batch:
        leaves, structure = jax.tree.flatten(batch)
        shape = (structure, *(leaf.shape for leaf in leaves))
        if shape not in placed:
            placed[shape] = placing(batch, batch_shardings(mesh, experiment.partition, batch))
        return placed[shape](batch)

    def on_mesh(function: Callable[..., Any]) -> Callable[..., Any]:
        # What is inside may ask which axes there are. Entered before, the mesh would place
        # arguments too. JAX's debuggers call the function outside of a compiled one.
        @functools.wraps(function)
        def inside(*arguments: Any) -> Any:
            if not is_traced(arguments):
                return function(*arguments)
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return function(*arguments)

        return inside

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
        return state, index + 1, Report(metrics, jnp.all(finite, axis=-1), finite)

    def inspect(state: Any) -> Array:
        return which_finite(jax.tree.leaves(state.params), leading=len(runs))

    targets = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )
    jitted = jax.jit(
        traced_once(on_mesh(step), ("state", "batch", "key", "index")),
        in_shardings=(shardings, None, whole, whole),
        out_shardings=(shardings, whole, whole),
        donate_argnums=(0, 3),
    )
    evaluate = jax.jit(
        traced_once(on_mesh(experiment.eval_step), ("state", "batch")),
        in_shardings=(shardings, None),
        out_shardings=whole,
    )
    init = jax.jit(
        on_mesh(experiment.init), out_shardings=shardings, compiler_options=run_once(mesh)
    )
    ordered = _one_after_another if must_wait_for_steps() else lambda function: function
    return Compiled(
        init=ordered(init),
        step=ordered(jitted),
        inspect=ordered(jax.jit(inspect, in_shardings=(shardings,), out_shardings=whole)),
        trace=jitted.trace,
        evaluate=ordered(lambda state, batch: evaluate(state, place(batch))),
        place=place,
        place_scalar=lambda value: place_scalar(value, whole),
        state=targets,
        names=names,
    )


def is_traced(values: PyTree) -> bool:
    """Whether JAX traces a function, and does not call it with arrays as its debuggers do."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def traced_once(function: Callable[..., Any], arguments: tuple[str, ...]) -> Callable[..., Any]:
    """The function, which raises RetraceError where JAX traces it a second time.

    The error names the first argument whose structure, shape or dtype has changed. JAX's
    debuggers call the function with arrays, which is not tracing.
    """
    first: list[dict[str, str]] = []

    def traced(*values: Any) -> Any:
        if not is_traced(values):
            return function(*values)
        named = dict(zip(arguments, values, strict=True))
        seen = {path: str(jax.typeof(leaf)) for path, leaf in named_leaves(named).items()}
        if first:
            changed = [
                f"{path} was {first[0].get(path, 'absent')} and is {seen.get(path, 'absent')}"
                for path in [*first[0], *seen]
                if first[0].get(path) != seen.get(path)
            ]
            what = changed[0] if changed else "its static structure differs"
            name = getattr(function, "__name__", "function")
            raise RetraceError(f"{name} would be compiled a second time: {what}")
        result = function(*values)
        first.append(seen)
        return result

    return traced


def run_once(mesh: Mesh) -> dict[str, int]:
    """What to tell the compiler of a program that runs once.

    On CPU its last level of optimisation takes 7 of the 9 seconds that it needs for the initial
    values of a small CNN (2 cores, no accelerator), and gives the same bits.
    """
    cpu = mesh.devices.flat[0].platform == "cpu"
    return {"xla_backend_optimization_level": 2} if cpu else {}


def _one_after_another(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: jax.block_until_ready(function(*arguments))
