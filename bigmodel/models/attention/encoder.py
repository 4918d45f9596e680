"""The block of the transformer encoders of BERT, ViT and translation."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float

from bigmodel.experiment import Rules
from bigmodel.models.attention.attention import Attention
from bigmodel.models.layers.feed_forward import FeedForward, residual_init
from bigmodel.models.layers.norm import LayerNorm
from bigmodel.partition import EXAMPLES, constrained

BLOCK_PARTITION: Rules = (
    (r"(query|key|value|gate|up)/kernel$", P("fsdp", "tensor")),
    (r"(query|value|gate|up)/bias$", P("tensor")),
    (r"(output|down)/kernel$", P("tensor", "fsdp")),
    (r"norm\w*/(scale|bias)$", P()),
)
"""Rules for the parameters of attention, feed-forward networks and norms."""


class EncoderBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))`` (Xiong et al., 2020).

    ``options`` are those of the network, a :class:`~bigmodel.models.texts.bert.Bert` or another
    with ``layers``, ``width``, ``heads``, ``expansion``, ``activation``, ``attention`` and
    ``dropout``.
    """

    options: Any
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time width"],
        mask: Bool[Array, "#batch 1 time"] | None,
        train: bool,
    ) -> Float[Array, "batch time width"]:
        """The block's output; a position attends to all, or to those where the mask is True."""
        options = self.options
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        init = residual_init(options.layers)
        normed = LayerNorm(self.dtype, name="norm_attention")(x)
        attention = Attention(
            options.heads, options.width, self.dtype, init, options.attention, name="attention"
        )
        x = constrained(x + dropout(attention(normed, normed, mask)), EXAMPLES, None, None)
        normed = LayerNorm(self.dtype, name="norm_feed_forward")(x)
        hidden = options.expansion * options.width
        network = FeedForward(hidden, options.activation, self.dtype, init, name="feed_forward")
        return constrained(x + dropout(network(normed)), EXAMPLES, None, None)
