"""Recurrent cells, and a layer that runs one over sequences of different lengths.

A cell has an input kernel, a recurrent kernel, and one bias for each gate: two would have the same
gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from bigmodel.experiment import Rules
from bigmodel.models.layers.dense import Dense

CellName: TypeAlias = Literal["plain", "lstm", "gru"]

State: TypeAlias = tuple[Float[Array, "batch width"], ...]
"""What a cell carries from step to step; the first array is its output."""

RecurrentGates: TypeAlias = Callable[[Float[Array, "batch width"]], Float[Array, "batch gates"]]
"""The product of an output with the recurrent kernel."""

RECURRENT_PARTITION: Rules = (
    (r"input/kernel$", P("fsdp", None)),
    (r"input/bias$", P()),
    (r"recurrent$", P("fsdp", None)),
)
"""Rules for the parameters of :class:`Recurrent`."""


class Cell(NamedTuple):
    """One step of recurrence: ``step(state, input_gates, recurrent_gates)`` is the next state.

    ``input_gates`` is the input's product with its kernel, plus the biases:
    ``[batch, gates * width]``. ``biases`` are the initial biases of the gates, in their order.
    ``arrays`` is the number of arrays in a state.
    """

    step: Callable[[State, Float[Array, "batch gates"], RecurrentGates], State]
    biases: tuple[float, ...]
    arrays: int


def plain(
    state: State, input_gates: Float[Array, "batch gates"], recurrent_gates: RecurrentGates
) -> State:
    """``h = tanh(input_gates + recurrent_gates(h))`` (Elman, 1990)."""
    (h,) = state
    return (jnp.tanh(input_gates + recurrent_gates(h)),)


def lstm(
    state: State, input_gates: Float[Array, "batch gates"], recurrent_gates: RecurrentGates
) -> State:
    """The long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    With gates i, f, g, o: ``c = sigmoid(f) * c + sigmoid(i) * tanh(g)`` and
    ``h = sigmoid(o) * tanh(c)``.
    """
    h, c = state
    i, f, g, o = jnp.split(input_gates + recurrent_gates(h), 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def gru(
    state: State, input_gates: Float[Array, "batch gates"], recurrent_gates: RecurrentGates
) -> State:
    """The gated recurrent unit (Cho et al., 2014), its reset after the product.

    With gates r, z, n: ``h = (1 - sigmoid(z)) * tanh(input_n + sigmoid(r) * recurrent_n) +
    sigmoid(z) * h``. Resetting the product and not the output leaves one product a step.
    """
    (h,) = state
    input_r, input_z, input_n = jnp.split(input_gates, 3, axis=-1)
    recurrent_r, recurrent_z, recurrent_n = jnp.split(recurrent_gates(h), 3, axis=-1)
    r = jax.nn.sigmoid(input_r + recurrent_r)
    z = jax.nn.sigmoid(input_z + recurrent_z)
    n = jnp.tanh(input_n + r * recurrent_n)
    return ((1 - z) * n + z * h,)


# A forget gate that begins open lets gradients through (Jozefowicz et al., 2015).
CELLS = {
    "plain": Cell(plain, (0.0,), 1),
    "lstm": Cell(lstm, (0.0, 1.0, 0.0, 0.0), 2),
    "gru": Cell(gru, (0.0, 0.0, 0.0), 1),
}


class Recurrent(nn.Module):
    """A layer that runs a cell over sequences, forwards or in reverse.

    Padding leaves the state unchanged. The last state is therefore that of each sequence's own
    last step, and in reverse the recurrence begins at the last position that is not padding.
    """

    cell: CellName
    width: int
    dtype: jnp.dtype
    reverse: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time feature"],
        mask: Bool[Array, "batch time"],
        initial: State | None = None,
    ) -> tuple[Float[Array, "batch time width"], State]:
        """The outputs after each step, and the state after all of them.

        Args:
            x: The sequences.
            mask: False at padding.
            initial: The state before the first step; zeros by default.
        """
        cell = CELLS[self.cell]
        gates = len(cell.biases) * self.width
        biases = np.repeat(np.asarray(cell.biases, np.float32), self.width)
        dense = Dense(
            gates, dtype=self.dtype, bias_init=lambda *_: jnp.asarray(biases), name="input"
        )
        # The inputs of all steps at once: one large product instead of many small ones.
        inputs = dense(x)
        kernel = self.param("recurrent", orthogonal_gates, (self.width, gates), jnp.float32)
        kernel = kernel.astype(self.dtype)

        def recurrent_gates(h: Float[Array, "batch width"]) -> Float[Array, "batch gates"]:
            return (h.astype(self.dtype) @ kernel).astype(jnp.float32)

        def step(state: State, inputs: tuple[Array, Array]) -> tuple[State, Array]:
            input_gates, real = inputs
            new = cell.step(state, input_gates.astype(jnp.float32), recurrent_gates)
            state = tuple(
                jnp.where(real[:, None], after, before)
                for after, before in zip(new, state, strict=True)
            )
            return state, state[0]

        if initial is None:
            initial = (jnp.zeros((x.shape[0], self.width), jnp.float32),) * cell.arrays
        # Reversed by hand, for ONNX has no loop that runs backwards.
        direction = -1 if self.reverse else 1
        by_time = (inputs.swapaxes(0, 1)[::direction], mask.swapaxes(0, 1)[::direction])
        last, outputs = lax.scan(step, initial, by_time)
        return outputs[::direction].swapaxes(0, 1), last


def orthogonal_gates(key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
    """An orthogonal matrix for each gate, side by side (Saxe et al., 2014)."""
    width, gates = shape
    keys = jax.random.split(key, gates // width)
    orthogonal = nn.initializers.orthogonal()
    return jnp.concatenate([orthogonal(k, (width, width), dtype) for k in keys], axis=1)
