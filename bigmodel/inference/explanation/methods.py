"""The methods that say what of an input an output is due to; each is pure, and compiled once.

All take ``(network, variables, batch, index)``: the output ``index`` of a network for a batch of
one. What they give has the shape of the numbers that the network reads, unless it is said.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Batch, Key, Variables
from bigmodel.inference.explanation.network import Network
from bigmodel.models.taps import Change

AT_ONCE = 32
"""Changed inputs that are computed together."""

Numbers = Float[Array, "1 ..."]


def _slope(
    network: Network,
    variables: Variables,
    batch: Batch,
    index: Array,
    change: Callable[..., Change],
) -> Callable[[Numbers], Numbers]:
    """The gradient of the output with respect to what ``change`` takes."""

    def output(numbers: Numbers) -> Array:
        return network.logits(variables, batch, change(numbers))[0][index]

    return jax.grad(output)


def _added(numbers: Numbers) -> Change:
    return lambda x: x + numbers


def _scaled(numbers: Numbers, baseline: float | Array = 0.0) -> Change:
    """From the baseline to the input by these shares."""
    return lambda x: baseline + numbers * (x - baseline)


@partial(jax.jit, static_argnums=0)
def gradients(
    network: Network, variables: Variables, batch: Batch, index: Array, of: Int[Array, "1 ..."]
) -> Numbers:
    """The gradient of the output (Simonyan et al., 2014)."""
    slope = _slope(network, variables, batch, index, _added)
    return slope(jnp.zeros(of.shape, jnp.float32))


@partial(jax.jit, static_argnums=0, static_argnames="samples")
def smoothgrad(
    network: Network,
    variables: Variables,
    batch: Batch,
    index: Array,
    of: Int[Array, "1 ..."],
    *,
    key: Key,
    noise: Array,
    samples: int,
) -> Numbers:
    """The mean gradient at inputs with normal noise (Smilkov et al., 2017).

    The standard deviation of the noise is the share ``noise`` of the range of the input's numbers.
    """

    def add(total: Numbers, key: Key) -> tuple[Numbers, None]:
        drawn = jax.random.normal(key, of.shape, jnp.float32)

        def change(numbers: Numbers) -> Change:
            return lambda x: x + noise * jax.lax.stop_gradient(x.max() - x.min()) * drawn + numbers

        slope = _slope(network, variables, batch, index, change)
        return total + slope(jnp.zeros(of.shape, jnp.float32)), None

    total, _ = jax.lax.scan(add, jnp.zeros(of.shape, jnp.float32), jax.random.split(key, samples))
    return total / samples


@partial(jax.jit, static_argnums=0, static_argnames="steps")
def integrated_gradients(
    network: Network,
    variables: Variables,
    batch: Batch,
    index: Array,
    of: Int[Array, "1 ..."],
    *,
    baseline: Array,
    steps: int,
) -> Numbers:
    """``(x - b) * integral of the gradient at b + a (x - b) over a from 0 to 1``.

    Their sum is the output at ``x`` less that at the baseline ``b`` (Sundararajan et al., 2017), up
    to the error of Gauss-Legendre quadrature with as many nodes as steps. The gradient is taken
    with respect to a share ``a`` of each number, so that no more of the input is needed.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    pairs = jnp.asarray((nodes + 1) / 2, jnp.float32), jnp.asarray(weights / 2, jnp.float32)
    base = network.baseline(variables, baseline)
    slope = _slope(network, variables, batch, index, partial(_scaled, baseline=base))

    def add(total: Numbers, pair: tuple[Array, Array]) -> tuple[Numbers, None]:
        share, weight = pair
        return total + weight * slope(jnp.full(of.shape, share, jnp.float32)), None

    return jax.lax.scan(add, jnp.zeros(of.shape, jnp.float32), pairs)[0]


@partial(jax.jit, static_argnums=0)
def kept_scores(
    network: Network,
    variables: Variables,
    batch: Batch,
    index: Array,
    of: Int[Array, "1 ..."],
    *,
    masks: Float[Array, "masks units"],
    baseline: Array,
) -> Float[Array, "masks 2"]:
    """The output and its log probability where each mask keeps units of the input.

    A unit of which the mask is 0 is at the baseline; of a single number the probability is none.
    """
    base = network.baseline(variables, baseline)

    def one(mask: Float[Array, " units"]) -> Float[Array, " 2"]:
        # What is no unit, of number -1, is kept.
        keep = jnp.append(mask, jnp.float32(1))[of]
        logits = network.logits(variables, batch, _scaled(keep, base))[0]
        return jnp.stack([logits[index], jax.nn.log_softmax(logits)[index]])

    return jax.lax.map(one, masks, batch_size=AT_ONCE)


@partial(jax.jit, static_argnums=0, static_argnames="layer")
def grad_cam(
    network: Network, variables: Variables, batch: Batch, index: Array, *, layer: str
) -> Float[Array, "..."]:
    """The channels of a layer, weighted by their mean gradient, added up and rectified.

    It has the resolution of the layer (Selvaraju et al., 2017), of a clip that of each frame.
    """

    def run(change: Change) -> tuple[Array, Array]:
        logits, found, _ = network.logits(variables, batch, _same, changes={layer: change})
        return logits[index], found[layer]

    shape = jax.eval_shape(lambda: run(_same))[1].shape
    zeros = jnp.zeros(shape, jnp.float32)
    slope, activation = jax.grad(lambda numbers: run(_added(numbers)), has_aux=True)(zeros)
    importance = slope.mean(axis=tuple(range(slope.ndim - 1)), keepdims=True)
    return jax.nn.relu((activation.astype(jnp.float32) * importance).sum(axis=-1))


@partial(jax.jit, static_argnums=0, static_argnames="last")
def rollout(
    network: Network, variables: Variables, batch: Batch, index: Array, *, last: str
) -> Float[Array, " position"]:
    """How much of each position flows into what the output is read from.

    The product over the blocks of ``(mean weight of the heads + identity) / 2`` (Abnar and Zuidema,
    2020); its rows are averaged over the positions of the ``last`` block that the output depends
    on, which a gradient tells. It adds up to 1.
    """

    def run(change: Change, *, weights: bool) -> tuple[Array, tuple[Any, Any]]:
        logits, found, seen = network.logits(
            variables, batch, _same, changes={last: change}, weights=weights
        )
        return logits[index], (found[last], seen)

    shape = jax.eval_shape(lambda: run(_same, weights=False))[1][0].shape
    zeros = jnp.zeros(shape, jnp.float32)
    slope, (_, seen) = jax.grad(lambda x: run(_added(x), weights=True), has_aux=True)(zeros)
    joint = jnp.eye(shape[1], dtype=jnp.float32)
    for weights in seen.values():
        mean = weights[0].astype(jnp.float32).mean(axis=1)
        mixed = (mean + jnp.eye(len(mean), dtype=jnp.float32)) / 2
        joint = mixed @ joint
    read = jnp.any(slope[0] != 0, axis=-1).astype(jnp.float32)
    return (read / jnp.maximum(read.sum(), 1)) @ joint


def _same(x: Array) -> Array:
    return x
