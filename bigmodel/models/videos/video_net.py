"""Networks over short clips: convolutions over space and time, or attention over frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import Model, Rules
from bigmodel.models.attention.encoder import BLOCK_PARTITION, EncoderBlock
from bigmodel.models.attention.fused import AttentionName
from bigmodel.models.attention.positions import sinusoidal
from bigmodel.models.attention.stack import make_blocks, run_blocks, stacked_partition
from bigmodel.models.layers.convolution import Conv
from bigmodel.models.layers.dense import Dense
from bigmodel.models.layers.extremes import largest
from bigmodel.models.layers.feed_forward import Activation
from bigmodel.models.layers.norm import LayerNorm
from bigmodel.models.layers.resolution import max_pool
from bigmodel.models.linen import model
from bigmodel.models.options import check_dropout, check_even_heads, check_sizes, check_widths

PARTITION: Rules = (
    *stacked_partition(BLOCK_PARTITION),
    *BLOCK_PARTITION,
    (r"space(_time)?_\d+/kernel$", P(None, None, None, "fsdp")),
    (r"(embed|head)/kernel$", P("fsdp", None)),
    (r"(scale|bias)$", P()),
)

Video = Float[Array, "batch frame height width channel"]


@dataclass(frozen=True)
class VideoNet:
    """Convolutions, over time too or with attention after them, and a linear layer."""

    name: Literal["convolution", "attention"] = "convolution"
    """convolution: kernels over three frames, rows and columns (Tran et al., 2015); attention:
    convolutions of each frame, and a transformer encoder over the frames"""
    widths: tuple[int, ...] = (16, 32, 64)
    """channels of each convolution; each halves height and width"""
    layers: int = 2
    """attention: number of blocks over the frames"""
    width: int = 64
    """attention: number of features of a frame"""
    heads: int = 4
    """attention: number of heads, which share the width"""
    expansion: int = 4
    """attention: width of the feed-forward network, as a multiple of the width"""
    activation: Activation = "gelu"
    """attention: activation of the feed-forward network"""
    dropout: float = 0.1
    """probability with which a feature is dropped"""
    attention: AttentionName = "auto"
    """attention: its kernel: cudnn on NVIDIA GPUs, splash on TPUs, xla anywhere; auto takes the
    fastest that fits"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, norms, softmax and logits are float32"""
    remat: bool = False
    """attention: whether to recompute each block in the backward pass"""
    scan: bool | None = None
    """attention: whether the blocks' parameters are a stack that is looped over, by default from 24
    layers on"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that do not fit each other."""
        check_widths(self)
        check_sizes(self, "layers", "width", "heads", "expansion")
        check_even_heads(self)
        check_dropout(self.dropout)

    def build(self, classes: int) -> Model:
        """The network: ``video`` to logits, float32 ``[batch, class]``."""
        return model(VideoNetwork(self, classes), inputs="video", partition=PARTITION)


class VideoNetwork(nn.Module):
    """The network that :class:`VideoNet` describes."""

    options: VideoNet
    classes: int

    @nn.compact
    def __call__(self, x: Video, *, train: bool) -> Float[Array, "batch class"]:
        """Clips to logits."""
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        x = x.astype(dtype)
        x = self._over_frames(x, train) if options.name == "attention" else self._over_all(x)
        x = nn.Dropout(options.dropout, deterministic=not train)(x)
        return Dense(self.classes, dtype=dtype, name="head")(x).astype(jnp.float32)

    def _over_all(self, x: Video) -> Float[Array, "batch feature"]:
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        batch, frames = x.shape[:2]
        for number, width in enumerate(options.widths):
            # Three frames side by side as channels, for XLA has only slow kernels over time on a
            # CPU: the same sums of products.
            padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
            x = jnp.concatenate([padded[:, at : at + frames] for at in range(3)], axis=-1)
            name = f"space_time_{number}"
            conv = Conv(width, use_bias=False, dtype=dtype, name=name)
            x = conv(x.reshape(batch * frames, *x.shape[2:]))
            x = max_pool(nn.silu(LayerNorm(dtype, name=f"front_norm_{number}")(x)))
            x = x.reshape(batch, frames, *x.shape[1:])
        return largest(x.reshape(batch, frames, -1, x.shape[-1])).mean(axis=1)

    def _over_frames(self, x: Video, train: bool) -> Float[Array, "batch feature"]:
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        batch, frames = x.shape[:2]
        x = x.reshape(batch * frames, *x.shape[2:])
        for number, width in enumerate(options.widths):
            conv = Conv(width, stride=2, use_bias=False, dtype=dtype, name=f"space_{number}")
            x = nn.silu(LayerNorm(dtype, name=f"front_norm_{number}")(conv(x)))
        x = x.reshape(batch, frames, -1)
        x = Dense(options.width, dtype=dtype, name="embed")(x)
        positions = jnp.arange(frames, dtype=jnp.int32)
        x = x + sinusoidal(positions, width=options.width).astype(dtype)[None]
        blocks = make_blocks(EncoderBlock, options, dtype, partition=BLOCK_PARTITION, name="block")
        x, _, _ = run_blocks(blocks, x, None, train=train)
        return LayerNorm(dtype, name="norm")(x).mean(axis=1)
