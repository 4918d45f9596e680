"""Mixture of experts: several feed-forward networks, of which each token uses a few."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.models.layers.feed_forward import Activation, FeedForward
from bigmodel.models.placement import EXAMPLES, placed

Tokens = Float[Array, "batch time width"]
PerExpert = Float[Array, "batch time experts"]

SHARED = ("data", "fsdp")
"""The mesh axes over which examples are spread where experts are on devices of their own."""

AT_HOME = (None, EXAMPLES, None, None)
AT_EXPERTS = ("expert", SHARED, None, None)
"""Where places ``[expert, batch, place, width]`` are before and while experts read them."""


class Routing(NamedTuple):
    """How a router decided: the probability of each expert, and 1 for those that were chosen."""

    probabilities: PerExpert
    chosen: PerExpert


class Routed(NamedTuple):
    """Logits, and how the routers of all blocks decided on the way to them."""

    logits: Float[Array, "batch time vocabulary"]
    probabilities: Float[Array, "batch time layers experts"]
    chosen: Float[Array, "batch time layers experts"]


def choose(probabilities: PerExpert, *, per_token: int) -> tuple[PerExpert, PerExpert]:
    """The likeliest experts of each token, and the weights of their outputs.

    The weights are the probabilities over their sum among the chosen (Shazeer et al., 2017).
    A single expert's weight is its probability (Fedus et al., 2022): divided by itself it
    would teach the router nothing.

    Returns:
        ``chosen``, 1 or 0, and ``gates``, 0 where an expert is not chosen.
    """
    _, indices = jax.lax.top_k(probabilities, per_token)
    experts = probabilities.shape[-1]
    chosen = jax.nn.one_hot(indices, experts, dtype=probabilities.dtype).sum(axis=-2)
    gates = probabilities * chosen
    if per_token > 1:
        gates = gates / gates.sum(axis=-1, keepdims=True)
    return chosen, gates


def places(chosen: PerExpert, *, capacity: int) -> Float[Array, "batch time experts place"]:
    """1 at the place that a token has among those of its sequence that chose the same expert.

    The first ``capacity`` have one; those after them are dropped.
    """
    before = (jnp.cumsum(chosen, axis=1) - chosen).astype(jnp.int32)
    return jax.nn.one_hot(before, capacity, dtype=chosen.dtype) * chosen[..., None]


class MixtureOfExperts(nn.Module):
    """``sum over the chosen experts of gate * feed_forward(x)`` (Shazeer et al., 2017).

    Without a capacity no token is dropped: every expert reads every token, so that a token's
    output depends on no other token, at the price of work that no gate lets through. With
    one, an expert reads at most ``capacity`` times its even share of a sequence's tokens in
    training (Lepikhin et al., 2021): what comes later passes it by. Nothing is dropped in
    evaluation.
    """

    experts: int
    per_token: int
    capacity: float | None
    hidden: int
    activation: Activation
    dtype: jnp.dtype
    output_init: nn.initializers.Initializer
    biases: bool = False

    @nn.compact
    def __call__(self, x: Tokens, *, train: bool) -> tuple[Tokens, Routing]:
        """The mixed outputs, and how the router decided, in float32."""
        router = nn.Dense(self.experts, use_bias=False, dtype=jnp.float32, name="router")
        probabilities = nn.softmax(router(x.astype(jnp.float32)), axis=-1)
        chosen, gates = choose(probabilities, per_token=self.per_token)
        routing = Routing(probabilities, chosen)
        if self.capacity is None or not train:
            x = placed(x, SHARED, "sequence", None)
            outputs = placed(self._networks(None)(x), "expert", SHARED, "sequence", None)
            return jnp.einsum("ebtd,bte->btd", outputs, gates.astype(x.dtype)), routing
        share = self.capacity * self.per_token * x.shape[1] / self.experts
        taken = places(chosen, capacity=min(math.ceil(share), x.shape[1]))
        # Tokens go from the devices of their examples to those of their experts, and back.
        read = placed(jnp.einsum("btec,btd->ebcd", taken.astype(x.dtype), x), *AT_HOME)
        written = self._networks(0)(placed(read, *AT_EXPERTS))
        written = placed(placed(written, *AT_EXPERTS), *AT_HOME)
        combine = (taken * gates[..., None]).astype(x.dtype)
        return jnp.einsum("ebcd,btec->btd", written, combine), routing

    def _networks(self, reads: int | None) -> Any:
        """All experts at once: of one input (None), or each of its own along an axis."""
        networks = nn.vmap(
            FeedForward,
            in_axes=reads,
            axis_size=self.experts,
            variable_axes={"params": 0},
            split_rngs={"params": True},
        )
        return networks(
            self.hidden,
            self.activation,
            self.dtype,
            self.output_init,
            self.biases,
            name="experts",
        )
