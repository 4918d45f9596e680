"""TensorFlow's SavedModel, by jax2tf, in the folders that TensorFlow Serving looks for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp

from bigmodel.export.program import BATCH, Program

INSTALL = "pip install -e '.[tensorflow]'"
NEEDS = ("tensorflow",)
RUNTIME = "tensorflow"
RESULT = "outputs"
LINES = """
import numpy as np, tensorflow as tf
model = tf.saved_model.load("model/1").signatures["serving_default"]
inputs = {name: tf.constant(array) for name, array in np.load("sample_input.npz").items()}
outputs = model(**inputs)
print(outputs)
"""
SERVED = Path("model") / "1"


def write(program: Program, folder: Path) -> Program:
    """Writes ``model/1``, with the variables as TensorFlow's."""
    with quiet():
        write_model(program, folder / SERVED)
    return program


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what TensorFlow's C++ prints off standard error; what it raises says it again."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def write_model(program: Program, folder: Path) -> None:
    """Writes a SavedModel with the signature ``serving_default``."""
    import tensorflow as tf
    from jax.experimental import jax2tf

    logging.getLogger("absl").setLevel(logging.ERROR)
    size = BATCH if program.batch is None else program.batch
    shapes = [None, dict.fromkeys(program.inputs, f"{size}, ...")]
    apply = jax2tf.convert(
        program.apply,
        polymorphic_shapes=shapes,
        with_gradient=False,
        native_serialization_platforms=("cpu",),
    )
    module = tf.Module()
    module.variables_by_path = {
        path: tf.Variable(array, trainable=False) for path, array in program.variables.items()
    }
    function = tf.function(
        lambda **inputs: apply(module.variables_by_path, inputs), autograph=False
    )
    specs = {
        name: tf.TensorSpec((program.batch, *array.shape[1:]), array.dtype, name=name)
        for name, array in program.inputs.items()
    }
    # TensorFlow 2.21 reads StableHLO up to 1.13, in which top_k is no operation.
    with mock.patch.object(jax.lax, "top_k", sorted_top_k):
        signature = function.get_concrete_function(**specs)
    module.function = function
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})


def sorted_top_k(operand: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """As ``jax.lax.top_k``: the largest entries of the last axis and where they are, by a sort."""
    places = jax.lax.broadcasted_iota(jnp.int32, operand.shape, operand.ndim - 1)
    negated, places = jax.lax.sort((-operand, places), num_keys=1, is_stable=True)
    return (
        -jax.lax.slice_in_dim(negated, 0, k, axis=-1),
        jax.lax.slice_in_dim(places, 0, k, axis=-1),
    )
