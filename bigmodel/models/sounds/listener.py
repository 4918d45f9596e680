"""A network over the spectrum of a sound: its class, or a letter for each moment.

Convolutions over time, then a transformer encoder (Vaswani et al., 2017) or recurrent layers in
both directions (Graves et al., 2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from bigmodel.experiment import Model, Rules
from bigmodel.models.attention.encoder import BLOCK_PARTITION, EncoderBlock
from bigmodel.models.attention.fused import AttentionName
from bigmodel.models.attention.masks import masked_mean, padding_mask
from bigmodel.models.attention.positions import sinusoidal
from bigmodel.models.attention.stack import make_blocks, run_blocks, stacked_partition
from bigmodel.models.layers.dense import Dense
from bigmodel.models.layers.feed_forward import Activation
from bigmodel.models.layers.norm import LayerNorm
from bigmodel.models.layers.recurrent import RECURRENT_PARTITION, Recurrent
from bigmodel.models.linen import model
from bigmodel.models.options import check_dropout, check_even_heads, check_sizes

PARTITION: Rules = (
    *stacked_partition(BLOCK_PARTITION),
    *BLOCK_PARTITION,
    *RECURRENT_PARTITION,
    (r"conv_\d+/kernel$", P(None, None, "fsdp")),
    (r"head/kernel$", P("fsdp", None)),
    (r"(scale|bias)$", P()),
)
SIZE = 5
"""Frames that a kernel spans."""

Frames = Float[Array, "batch time band"]


@dataclass(frozen=True)
class Listener:
    """Two convolutions over time, the second of which halves it, and layers over what is left."""

    name: Literal["transformer", "lstm"] = "transformer"
    """what the layers are: blocks of attention, or recurrent ones in both directions"""
    layers: int = 2
    """number of layers after the convolutions"""
    width: int = 96
    """number of features of a moment"""
    heads: int = 4
    """transformer: number of attention heads, which share the width"""
    expansion: int = 4
    """transformer: width of the feed-forward network, as a multiple of the width"""
    activation: Activation = "gelu"
    """transformer: activation of the feed-forward network"""
    dropout: float = 0.1
    """probability with which a feature is dropped"""
    attention: AttentionName = "auto"
    """transformer: kernel of the attention: cudnn on NVIDIA GPUs, splash on TPUs, xla anywhere;
    auto takes the fastest that fits"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, norms, softmax and logits are float32"""
    remat: bool = False
    """transformer: whether to recompute each block in the backward pass"""
    scan: bool | None = None
    """transformer: whether the blocks' parameters are a stack that is looped over, by default from
    24 layers on"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that do not fit each other."""
        check_sizes(self, "layers", "width", "heads", "expansion")
        check_even_heads(self)
        check_dropout(self.dropout)

    def classifier(self, classes: int) -> Model:
        """The network: ``spectrum`` and ``length`` to logits, float32 ``[batch, class]``."""
        return self._model(classes, each=False)

    def transcriber(self, letters: int) -> Model:
        """The network: to logits of no letter and of each, float32 ``[batch, moment, 1 + letter]``.

        There is a moment for every two frames.
        """
        return self._model(1 + letters, each=True)

    def _model(self, outputs: int, *, each: bool) -> Model:
        network = ListenerNetwork(self, outputs, each)
        return model(network, inputs=("spectrum", "length"), partition=PARTITION)


def moments(frames: Int[Array, " batch"]) -> Int[Array, " batch"]:
    """How many moments sounds of so many frames have."""
    # Without the remainder that rounds down below zero, which ONNX has not for any batch size.
    return lax.div(frames + 1, jnp.full_like(frames, 2))


class ListenerNetwork(nn.Module):
    """The network that :class:`Listener` describes."""

    options: Listener
    outputs: int
    each: bool

    @nn.compact
    def __call__(
        self, x: Frames, lengths: Int[Array, " batch"], *, train: bool
    ) -> Float[Array, "batch *moment output"]:
        """Logits of sounds of these lengths; their padding does not matter."""
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        x = x.astype(dtype)
        for number, stride in enumerate((1, 2)):
            x = jnp.where(padding_mask(lengths, x.shape[1])[..., None], x, 0)
            conv = nn.Conv(
                options.width,
                (SIZE,),
                (stride,),
                padding=[(SIZE // 2, SIZE // 2)],
                use_bias=False,
                dtype=dtype,
                name=f"conv_{number}",
            )
            x = nn.silu(LayerNorm(dtype, name=f"front_norm_{number}")(conv(x)))
            lengths = lengths if stride == 1 else moments(lengths)
        mask = padding_mask(lengths, x.shape[1])
        x = dropout(x)
        x = (
            self._recurrent(x, mask, train)
            if options.name == "lstm"
            else self._blocks(x, mask, train)
        )
        x = LayerNorm(dtype, name="norm")(x)
        if not self.each:
            x = masked_mean(x, mask)
        return Dense(self.outputs, dtype=dtype, name="head")(x).astype(jnp.float32)

    def _blocks(self, x: Frames, mask: Bool[Array, "batch time"], train: bool) -> Frames:
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        positions = jnp.arange(x.shape[1], dtype=jnp.int32)
        x = x + sinusoidal(positions, width=options.width).astype(dtype)[None]
        blocks = make_blocks(EncoderBlock, options, dtype, partition=BLOCK_PARTITION, name="block")
        return run_blocks(blocks, x, mask[:, None], train=train)[0]

    def _recurrent(
        self, x: Frames, mask: Bool[Array, "batch time"], train: bool
    ) -> Float[Array, "batch time feature"]:
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        for number in range(options.layers):
            outputs = [
                Recurrent("lstm", options.width, dtype, reverse, name=f"{name}_{number}")(x, mask)[
                    0
                ]
                for name, reverse in (("forwards", False), ("backwards", True))
            ]
            x = jnp.concatenate(outputs, axis=-1).astype(dtype)
            x = nn.Dropout(options.dropout, deterministic=not train)(x)
        return x
