"""Recurrent cells: one step forwards, and its gradient written out.

A cell has an input kernel, a recurrent kernel, and one bias for each gate: two would have the same
gradient. The gates are kept for the gradient: autodiff would keep each beside its derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

CellName: TypeAlias = Literal["plain", "lstm", "gru"]

State: TypeAlias = tuple[Float[Array, "batch width"], ...]
"""What a cell carries from step to step; the first array is its output."""

Gates: TypeAlias = tuple[Float[Array, "batch width"], ...]


class Cell(NamedTuple):
    """One step of recurrence, and its gradient.

    ``step(state, inputs, recurrent)`` is the next state, and the gates that ``gradient`` needs. Its
    arguments are the products of the input and of the last output with their kernels, the former
    plus the biases: ``[batch, gates * width]``. ``gradient(gates, before, after, to_after)`` takes
    the gradient with respect to the state after the step to those with respect to the state before
    it, apart from what goes through the product, and to each gate of the two products.

    ``biases`` are the initial biases of the gates, in their order. ``arrays`` is the number of
    arrays in a state, ``kept`` that of gates. ``summed`` says that the products enter as their sum,
    so that both have one gradient.
    """

    step: Callable[[State, Array, Array], tuple[State, Gates]]
    gradient: Callable[[Gates, State, State, State], tuple[State, Gates, Gates]]
    biases: tuple[float, ...]
    arrays: int
    kept: int
    summed: bool


def plain(
    state: State, inputs: Float[Array, "batch gates"], recurrent: Float[Array, "batch gates"]
) -> tuple[State, Gates]:
    """``h = tanh(inputs + recurrent)`` (Elman, 1990)."""
    del state
    return (jnp.tanh(inputs + recurrent),), ()


def plain_gradient(
    gates: Gates, before: State, after: State, to_after: State
) -> tuple[State, Gates, Gates]:
    """The gradient of :func:`plain`."""
    del gates, before
    (h,), (to_h,) = after, to_after
    to_sum = (to_h * (1 - h * h),)
    return (jnp.zeros_like(h),), to_sum, to_sum


def lstm(
    state: State, inputs: Float[Array, "batch gates"], recurrent: Float[Array, "batch gates"]
) -> tuple[State, Gates]:
    """The long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    With ``i, f, o`` the sigmoid of their sums of products, and ``g`` the tanh of its sum:
    ``c = f * c + i * g`` and ``h = o * tanh(c)``.
    """
    _, c = state
    i, f, g, o = jnp.split(inputs + recurrent, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    c = f * c + i * g
    return (o * jnp.tanh(c), c), (i, f, g, o)


def lstm_gradient(
    gates: Gates, before: State, after: State, to_after: State
) -> tuple[State, Gates, Gates]:
    """The gradient of :func:`lstm`."""
    i, f, g, o = gates
    (_, c_before), (_, c), (to_h, to_c) = before, after, to_after
    tanh_c = jnp.tanh(c)
    to_c = to_c + to_h * o * (1 - tanh_c * tanh_c)
    to_sums = (
        to_c * g * i * (1 - i),
        to_c * c_before * f * (1 - f),
        to_c * i * (1 - g * g),
        to_h * tanh_c * o * (1 - o),
    )
    return (jnp.zeros_like(to_h), to_c * f), to_sums, to_sums


def gru(
    state: State, inputs: Float[Array, "batch gates"], recurrent: Float[Array, "batch gates"]
) -> tuple[State, Gates]:
    """The gated recurrent unit (Cho et al., 2014), its reset after the product.

    With ``r, z`` the sigmoid of their sums of products, and ``n = tanh(inputs_n +
    r * recurrent_n)``: ``h = (1 - z) * n + z * h``. Resetting the product and not the output
    leaves one product a step.
    """
    (h,) = state
    inputs_r, inputs_z, inputs_n = jnp.split(inputs, 3, axis=-1)
    recurrent_r, recurrent_z, recurrent_n = jnp.split(recurrent, 3, axis=-1)
    r = jax.nn.sigmoid(inputs_r + recurrent_r)
    z = jax.nn.sigmoid(inputs_z + recurrent_z)
    n = jnp.tanh(inputs_n + r * recurrent_n)
    return ((1 - z) * n + z * h,), (r, z, n, recurrent_n)


def gru_gradient(
    gates: Gates, before: State, after: State, to_after: State
) -> tuple[State, Gates, Gates]:
    """The gradient of :func:`gru`."""
    del after
    (r, z, n, recurrent_n), (h,), (to_h,) = gates, before, to_after
    to_n = to_h * (1 - z) * (1 - n * n)
    to_z = to_h * (h - n) * z * (1 - z)
    to_r = to_n * recurrent_n * r * (1 - r)
    return (to_h * z,), (to_r, to_z, to_n), (to_r, to_z, to_n * r)


# A forget gate that begins open lets gradients through (Jozefowicz et al., 2015).
CELLS = {
    "plain": Cell(plain, plain_gradient, (0.0,), arrays=1, kept=0, summed=True),
    "lstm": Cell(lstm, lstm_gradient, (0.0, 1.0, 0.0, 0.0), arrays=2, kept=4, summed=True),
    "gru": Cell(gru, gru_gradient, (0.0, 0.0, 0.0), arrays=1, kept=4, summed=False),
}
