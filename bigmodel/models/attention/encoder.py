"""The block of the transformer encoders of BERT, ViT and translation."""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float

from bigmodel.experiment import Rules
from bigmodel.models.attention.attention import Attention
from bigmodel.models.layers.feed_forward import FeedForward, residual_init
from bigmodel.models.layers.norm import LayerNorm
from bigmodel.partition import EXAMPLES, constrained

Features = Float[Array, "batch time width"]

BLOCK_PARTITION: Rules = (
    (r"(query|key|value|gate|up)/kernel$", P("fsdp", "tensor")),
    (r"(query|key|value|gate|up)/bias$", P("tensor")),
    (r"(output|down)/kernel$", P("tensor", "fsdp")),
    (r"norm\w*/(scale|bias)$", P()),
)
"""Rules for the parameters of attention, feed-forward networks and norms."""


class EncoderBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))`` (Xiong et al., 2020).

    With ``norm`` post it is ``norm(x + attention(x))``, then ``norm(x + feed_forward(x))``
    (Vaswani et al., 2017). ``biases`` are those of attention and feed-forward network; ``window``
    and ``global_tokens`` are :class:`~bigmodel.models.attention.attention.Attention`'s.

    ``options`` are those of the network, a :class:`~bigmodel.models.texts.bert.Bert` or another
    with ``layers``, ``width``, ``heads``, ``expansion``, ``activation``, ``attention`` and
    ``dropout``. It is called as :func:`~bigmodel.models.attention.stack.run_blocks` says, and
    carries nothing.
    """

    options: Any
    dtype: jnp.dtype
    biases: bool = False
    norm: Literal["pre", "post"] = "pre"
    epsilon: float = 1e-6
    window: int | None = None
    global_tokens: int = 0

    def setup(self) -> None:
        """Make the parts that the methods share."""
        options, init = self.options, residual_init(self.options.layers)
        hidden = options.expansion * options.width
        self.norm_attention = LayerNorm(self.dtype, self.epsilon)
        self.attention = Attention(
            options.heads,
            options.width,
            self.dtype,
            init,
            options.attention,
            self.biases,
            self.window,
            self.global_tokens,
        )
        self.norm_feed_forward = LayerNorm(self.dtype, self.epsilon)
        self.feed_forward = FeedForward(hidden, options.activation, self.dtype, init, self.biases)
        self.dropout = nn.Dropout(options.dropout)

    def __call__(
        self, x: Features, mask: Bool[Array, "#batch 1 time"] | None, carried: None, train: bool
    ) -> tuple[Features, None]:
        """The block's output; a position attends to all, or to those where the mask is True."""

        def dropped(branch: Features) -> Features:
            return self.dropout(branch, deterministic=not train)

        pre = self.norm == "pre"
        read = self.norm_attention(x) if pre else x
        x = x + dropped(self.attention(read, read, mask))
        x = constrained(x if pre else self.norm_attention(x), EXAMPLES, None, None)
        x = x + dropped(self.feed_forward(self.norm_feed_forward(x) if pre else x))
        x = x if pre else self.norm_feed_forward(x)
        return constrained(x, EXAMPLES, None, None), carried

    def weights(
        self, x: Features, mask: Bool[Array, "#batch 1 time"] | None, carried: None, train: bool
    ) -> tuple[Features, None, Float[Array, "batch time heads time"]]:
        """The block's output, and the weights of its attention."""
        read = self.norm_attention(x) if self.norm == "pre" else x
        if mask is None:
            mask = jnp.ones((1, 1, x.shape[1]), jnp.bool_)
        return *self(x, mask, carried, train), self.attention.weights(read, read, mask)
