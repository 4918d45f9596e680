"""The block of a GPT, and how its parameters are split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Rules
from bigmodel.models.attention.attention import Cache, CausalAttention, Rotation
from bigmodel.models.attention.encoder import BLOCK_PARTITION
from bigmodel.models.attention.moe import MixtureOfExperts, Routing
from bigmodel.models.layers.feed_forward import FeedForward, residual_init
from bigmodel.models.layers.norm import LayerNorm, RmsNorm
from bigmodel.models.placement import EXAMPLES, placed

if TYPE_CHECKING:
    from bigmodel.models.texts.gpt import Gpt

RESIDUAL = (EXAMPLES, "sequence", None)
"""What splits the features of the positions, ``[batch, time, width]``."""
NORMS = {"rms": RmsNorm, "layer": LayerNorm}

BLOCKS: Rules = (*BLOCK_PARTITION, (r"bias$", P()))

EXPERT_PARTITION: Rules = (
    (r"experts/(gate|up)/kernel$", P("expert", "fsdp", "tensor")),
    (r"experts/(gate|up)/bias$", P("expert", "tensor")),
    (r"experts/down/kernel$", P("expert", "tensor", "fsdp")),
    (r"experts/down/bias$", P("expert", None)),
    (r"router/kernel$", P("fsdp", None)),
)
"""Rules for what a mixture of experts has in the place of a feed-forward network."""


def block_rules(options: Gpt) -> Rules:
    """The rules for the parameters of a block."""
    return (*EXPERT_PARTITION, *BLOCKS) if options.experts else BLOCKS


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``."""

    options: Gpt
    window: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time width"],
        positions: Int[Array, "time"],
        by: Rotation | None,
        cache: Cache | None,
        train: bool,
    ) -> tuple[Float[Array, "batch time width"], Cache | None, Routing | None]:
        """The block's output, its cache with these positions in it, and how tokens were routed.

        The last two are None without a cache and without experts.
        """
        options = self.options
        dtype = jnp.dtype(options.dtype)
        norm = NORMS[options.norm]
        init = residual_init(options.layers)
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        attention = CausalAttention(
            options.heads,
            self.window,
            dtype,
            init,
            kv_heads=options.kv_heads,
            biases=options.biases,
            name="attention",
        )
        normed = norm(dtype, name="norm_attention")(x)
        mixed, cache = attention(normed, positions=positions, by=by, cache=cache)
        x = placed(x + dropout(mixed), *RESIDUAL)
        normed = norm(dtype, name="norm_feed_forward")(x)
        hidden = round(options.expansion * options.width)
        network: tuple[Any, ...] = (hidden, options.activation, dtype, init, options.biases)
        if not options.experts:
            mixed = FeedForward(*network, name="feed_forward")(normed)
            return placed(x + dropout(mixed), *RESIDUAL), cache, None
        mixture = MixtureOfExperts(
            options.experts,
            options.experts_per_token,
            options.capacity,
            *network,
            name="feed_forward",
        )
        mixed, routing = mixture(normed, train=train)
        return placed(x + dropout(mixed), *RESIDUAL), cache, routing
