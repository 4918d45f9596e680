"""The feed-forward network of a transformer's block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.models.layers.dense import Dense

Activation: TypeAlias = Literal["relu", "gelu", "gelu_exact", "squared_relu", "swiglu"]
"""gelu is its approximation by tanh, gelu_exact the one by erf (Hendrycks and Gimpel, 2016)."""


def squared_relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``max(x, 0)^2`` (So et al., 2021)."""
    return jnp.square(nn.relu(x))


FUNCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "gelu": nn.gelu,
    "gelu_exact": partial(nn.gelu, approximate=False),
    "squared_relu": squared_relu,
}


def residual_init(layers: int) -> nn.initializers.Initializer:
    """The initializer of the last layer of each branch in ``layers`` blocks of two branches.

    The ``2 * layers`` branches together add to the residual stream the variance of one.
    """
    return nn.initializers.variance_scaling(0.5 / layers, "fan_in", "truncated_normal")


class FeedForward(nn.Module):
    """``down(activation(up(x)))``; for swiglu ``down(silu(gate(x)) * up(x))`` (Shazeer, 2020)."""

    hidden: int
    activation: Activation
    dtype: jnp.dtype
    output_init: nn.initializers.Initializer
    biases: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        """Apply the network to each position."""

        def widen(name: str) -> Float[Array, "*batch hidden"]:
            return Dense(self.hidden, use_bias=self.biases, dtype=self.dtype, name=name)(x)

        if self.activation == "swiglu":
            inner = nn.silu(widen("gate")) * widen("up")
        else:
            inner = FUNCTIONS[self.activation](widen("up"))
        down = Dense(
            x.shape[-1],
            use_bias=self.biases,
            dtype=self.dtype,
            kernel_init=self.output_init,
            name="down",
        )
        return down(inner)
