"""Mixture of experts: several feed-forward networks, of which each token uses a few."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import Rules
from bigmodel.models.layers.dense import Dense
from bigmodel.models.layers.feed_forward import Activation, FeedForward
from bigmodel.partition import EXAMPLES, constrained

Tokens = Float[Array, "batch time width"]
PerExpert = Float[Array, "batch time experts"]

SHARED = ("data", "fsdp")
"""The mesh axes over which examples are spread while experts are on different devices."""

BY_EXAMPLE = (None, EXAMPLES, None, None)
BY_EXPERT = ("expert", SHARED, None, None)
"""How tokens ``[expert, batch, slot, width]`` are split outside of the experts and inside."""

EXPERT_PARTITION: Rules = (
    (r"experts/(gate|up)/kernel$", P("expert", "fsdp", "tensor")),
    (r"experts/(gate|up)/bias$", P("expert", "tensor")),
    (r"experts/down/kernel$", P("expert", "tensor", "fsdp")),
    (r"experts/down/bias$", P("expert", None)),
    (r"router/kernel$", P("fsdp", None)),
)
"""Rules for the parameters of :class:`MixtureOfExperts`."""


class Routing(NamedTuple):
    """A router's probabilities of the experts, and 1 for those that it chose."""

    probabilities: PerExpert
    chosen: PerExpert


class Routed(NamedTuple):
    """Logits, or what is known of them, and the decisions of the routers in all blocks."""

    logits: Any
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


def dispatch_mask(chosen: PerExpert, *, capacity: int) -> Float[Array, "batch time experts slot"]:
    """1 at the slot of a token among those of its sequence that chose the same expert.

    An expert has ``capacity`` slots for a sequence; tokens after the first ones are dropped.
    """
    before = (jnp.cumsum(chosen, axis=1) - chosen).astype(jnp.int32)
    return jax.nn.one_hot(before, capacity, dtype=chosen.dtype) * chosen[..., None]


class MixtureOfExperts(nn.Module):
    """``sum over the chosen experts of gate * feed_forward(x)`` (Shazeer et al., 2017).

    Without a capacity no token is dropped: every expert processes every token, and a token's
    output depends on no other token, at the price of outputs whose gate is 0. With a capacity,
    an expert processes at most ``capacity`` times its even share of a sequence's tokens in
    training (Lepikhin et al., 2021), and later tokens skip it. Evaluation drops nothing.
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
        """The mixed outputs, and the routing in float32."""
        router = Dense(self.experts, use_bias=False, dtype=jnp.float32, name="router")
        probabilities = nn.softmax(router(x.astype(jnp.float32)), axis=-1)
        chosen, gates = choose(probabilities, per_token=self.per_token)
        routing = Routing(probabilities, chosen)
        if self.capacity is None or not train:
            x = constrained(x, SHARED, "sequence", None)
            outputs = constrained(self._networks(None)(x), "expert", SHARED, "sequence", None)
            return jnp.einsum("ebtd,bte->btd", outputs, gates.astype(x.dtype)), routing
        share = self.capacity * self.per_token * x.shape[1] / self.experts
        dispatch = dispatch_mask(chosen, capacity=min(math.ceil(share), x.shape[1]))
        # Tokens go from the devices of their examples to those of their experts, and back.
        inputs = constrained(jnp.einsum("btec,btd->ebcd", dispatch.astype(x.dtype), x), *BY_EXAMPLE)
        outputs = self._networks(0)(constrained(inputs, *BY_EXPERT))
        outputs = constrained(constrained(outputs, *BY_EXPERT), *BY_EXAMPLE)
        combine = (dispatch * gates[..., None]).astype(x.dtype)
        return jnp.einsum("ebcd,btec->btd", outputs, combine), routing

    def _networks(self, axis: int | None) -> Any:
        """All experts at once, on one input (None) or each on its own along an axis."""
        networks = nn.vmap(
            FeedForward,
            in_axes=axis,
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
