"""A layer that runs a recurrent cell over sequences of different lengths.

Autodiff would add up the recurrent kernel's gradient step by step, in as many small products. So
the loop back over the steps is written out, with one product for the kernel after it. That has no
forward mode: ``jax.jvp`` raises TypeError.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from bigmodel.experiment import Rules
from bigmodel.models.layers.cells import CELLS, Cell, CellName, Gates, State
from bigmodel.models.layers.dense import Dense

Stacks: TypeAlias = tuple[Float[Array, "batch _ width"], ...]
"""Arrays of all steps."""

RECURRENT_PARTITION: Rules = (
    (r"input/kernel$", P("fsdp", None)),
    (r"input/bias$", P()),
    (r"recurrent$", P("fsdp", None)),
)
"""Rules for the parameters of :class:`Recurrent`."""


def _at(stack: Array, step: Array) -> Array:
    return lax.dynamic_index_in_dim(
        stack, step, axis=1, keepdims=False, allow_negative_indices=False
    )


def _put(stack: Array, step: Array | int, *parts: Array) -> Array:
    """The stack with these arrays side by side at a step: in place, and none is copied first."""
    column = 0
    for part in parts:
        value = part[:, None].astype(stack.dtype)
        start = (0, step, column)
        stack = lax.dynamic_update_slice(stack, value, start, allow_negative_indices=False)
        column += part.shape[-1]
    return stack


def _advance(
    cell: Cell,
    kernel: Float[Array, "width gates"],
    state: State,
    inputs: Float[Array, "batch gates"],
    real: Bool[Array, "batch"],
) -> tuple[State, Gates]:
    """The next state, which is the same at padding, and the gates."""
    recurrent = (state[0].astype(kernel.dtype) @ kernel).astype(jnp.float32)
    new, gates = cell.step(state, inputs.astype(jnp.float32), recurrent)
    pairs = zip(new, state, strict=True)
    return tuple(jnp.where(real[:, None], *pair) for pair in pairs), gates


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def recur(
    cell: CellName,
    reverse: bool,
    inputs: Float[Array, "batch time gates"],
    mask: Bool[Array, "batch time"],
    kernel: Float[Array, "width gates"],
    initial: State,
) -> tuple[Float[Array, "batch time width"], State]:
    """All steps of a cell: the outputs after each, and the last state.

    Args:
        cell: Which.
        reverse: Whether the recurrence goes from the last step to the first.
        inputs: The input's products, in the type of the recurrent ones.
        mask: False where a step leaves the state unchanged.
        kernel: The recurrent kernel.
        initial: The state before the first step.
    """
    weights = kernel.astype(inputs.dtype)

    def step(state: State, now: tuple[Array, Array]) -> tuple[State, Array]:
        state, _ = _advance(CELLS[cell], weights, state, *now)
        return state, state[0]

    # A scan and not the loop below, for other runtimes copy what a loop writes into. Reversed by
    # hand, for ONNX has no loop that runs backwards.
    direction = -1 if reverse else 1
    by_time = (inputs.swapaxes(0, 1)[::direction], mask.swapaxes(0, 1)[::direction])
    last, outputs = lax.scan(step, initial, by_time)
    return outputs[::direction].swapaxes(0, 1), last


def _recur(
    name: CellName,
    reverse: bool,
    inputs: Float[Array, "batch time gates"],
    mask: Bool[Array, "batch time"],
    kernel: Float[Array, "width gates"],
    initial: State,
) -> tuple[Any, Any]:
    """What :func:`recur` returns, and what its gradient needs.

    Among that are stacks of the states, the initial one at the end where the recurrence begins.
    """
    cell = CELLS[name]
    batch, length, _ = inputs.shape
    weights = kernel.astype(inputs.dtype)

    def step(count: Array, carry: tuple[State, Stacks, Stacks]) -> tuple[State, Stacks, Stacks]:
        state, states, gates = carry
        now, after = (length - 1 - count,) * 2 if reverse else (count, count + 1)
        state, new = _advance(cell, weights, state, _at(inputs, now), _at(mask, now))
        states = tuple(_put(stack, after, a) for stack, a in zip(states, state, strict=True))
        gates = tuple(_put(stack, now, gate) for stack, gate in zip(gates, new, strict=True))
        return state, states, gates

    # Batch-major, as the layer's inputs and outputs are: nothing is transposed. Compiled for TPUs
    # the stacks are laid out by time all the same.
    stack = jnp.zeros((batch, length + 1, kernel.shape[0]), jnp.float32)
    states = tuple(_put(stack, length if reverse else 0, array) for array in initial)
    carry = (initial, states, (stack[:, 1:],) * cell.kept)
    last, states, gates = lax.fori_loop(0, length, step, carry)
    outputs = states[0][:, :-1] if reverse else states[0][:, 1:]
    return (outputs, last), (jnp.zeros((0,), inputs.dtype), mask, kernel, states, gates)


def _recur_gradient(
    name: CellName, reverse: bool, kept: tuple[Any, ...], cotangents: tuple[Array, State]
) -> tuple[Array, None, Array, State]:
    """The gradients with respect to the inputs, the kernel and the initial state."""
    cell = CELLS[name]
    like, mask, kernel, states, gates = kept
    to_outputs, to_last = cotangents
    batch, length = mask.shape
    width, columns = kernel.shape
    transposed = kernel.astype(like.dtype).T

    def step(count: Array, carry: tuple[State, Array, Any]) -> tuple[State, Array, Any]:
        to_state, to_inputs, to_recurrent = carry
        now = count if reverse else length - 1 - count
        before, after = (now + 1, now) if reverse else (now, now + 1)
        real = _at(mask, now)[:, None]
        to_state = (to_state[0] + _at(to_outputs, now), *to_state[1:])
        (to_h, *others), input_gates, recurrent_gates = cell.gradient(
            tuple(_at(gate, now) for gate in gates),
            tuple(_at(array, before) for array in states),
            tuple(_at(array, after) for array in states),
            tuple(jnp.where(real, array, 0.0) for array in to_state),
        )
        to_inputs = _put(to_inputs, now, *input_gates)
        if not cell.summed:
            to_recurrent = _put(to_recurrent, now, *recurrent_gates)
        product = _at(to_inputs if cell.summed else to_recurrent, now) @ transposed
        to_before = (to_h + product.astype(jnp.float32), *others)
        to_state = tuple(jnp.where(real, *pair) for pair in zip(to_before, to_state, strict=True))
        return to_state, to_inputs, to_recurrent

    stack = jnp.zeros((batch, length, columns), like.dtype)
    carry = (to_last, stack, None if cell.summed else stack)
    to_initial, to_inputs, to_recurrent = lax.fori_loop(0, length, step, carry)
    # Rows, for the CPU's product over two axes begins with a copy of each operand, transposed. Not
    # time before batch: flattened so, a batch over several devices would be gathered.
    outputs = states[0][:, 1:] if reverse else states[0][:, :-1]
    to_kernel = jnp.matmul(
        outputs.reshape(-1, width).astype(like.dtype).T,
        (to_inputs if cell.summed else to_recurrent).reshape(-1, columns),
        preferred_element_type=jnp.float32,
    )
    return to_inputs, None, to_kernel, to_initial


recur.defvjp(_recur, _recur_gradient)


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
        if initial is None:
            initial = (jnp.zeros((x.shape[0], self.width), jnp.float32),) * cell.arrays
        return recur(self.cell, self.reverse, inputs, mask, jnp.asarray(kernel), initial)


def orthogonal_gates(key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
    """An orthogonal matrix for each gate, side by side (Saxe et al., 2014)."""
    width, gates = shape
    keys = jax.random.split(key, gates // width)
    orthogonal = nn.initializers.orthogonal()
    return jnp.concatenate([orthogonal(k, (width, width), dtype) for k in keys], axis=1)
