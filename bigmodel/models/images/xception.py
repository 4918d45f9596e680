"""Depthwise separable convolutions with residual connections (Chollet, 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import InputError, Model, Rules
from bigmodel.models import linen
from bigmodel.models.layers.activation import ACTIVATIONS, Activation
from bigmodel.models.layers.convolution import Conv, DepthwiseConv, Images
from bigmodel.models.layers.norm import batch_norm
from bigmodel.models.layers.resolution import mean_pool
from bigmodel.models.options import check_dropout, check_widths

PARTITION: Rules = (
    (r"depthwise_\d+/kernel$", P(None, None, "fsdp")),
    (r"(stem|pointwise_\d+|shortcut)/kernel$", P(None, None, None, "fsdp")),
    (r"head/kernel$", P("fsdp", None)),
    (r"(bias|scale)$", P()),
)


@dataclass(frozen=True)
class Xception:
    """A small Xception: a convolution, blocks of separable ones, a mean over the pixels."""

    widths: tuple[int, ...] = (16, 32, 64, 128)
    """channels of the first convolution and of each block after it"""
    convolutions: tuple[int, ...] = (2,)
    """separable convolutions in each block; one number is for all blocks"""
    dropout: float = 0.1
    """probability with which a channel is dropped before the last layer, in training"""
    batch_norm: bool = False
    """whether batch normalization (Ioffe and Szegedy, 2015) follows each convolution"""
    activation: Activation = "relu"
    """activation before each separable convolution"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters and logits are float32"""

    def build(self, classes: int) -> Model:
        """The network: images to logits, float32 ``[batch, class]``.

        Raises:
            InputError: A size is not positive, or the dropout is not a rate.
        """
        check_widths(self)
        blocks = len(self.widths) - 1
        if min(self.convolutions, default=0) < 1 or len(self.convolutions) not in (1, blocks):
            raise InputError(
                f"--model.convolutions {self.convolutions} must be one positive number, or one "
                f"for each of the {blocks} blocks, which are one fewer than --model.widths"
            )
        check_dropout(self.dropout)
        return linen.model(XceptionNetwork(self, classes), partition=PARTITION)


class XceptionNetwork(nn.Module):
    """The network that :class:`Xception` describes."""

    options: Xception
    classes: int

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Float[Array, "batch class"]:
        """Images to logits."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        stem, *widths = options.widths
        x = Conv(stem, use_bias=not options.batch_norm, dtype=dtype, name="stem")(x)
        if options.batch_norm:
            x = batch_norm(x, name="norm", train=train, dtype=dtype)
        counts = options.convolutions * (len(widths) // len(options.convolutions))
        for i, (width, count) in enumerate(zip(widths, counts, strict=True)):
            x = SeparableBlock(options, width, count, name=f"blocks_{i}")(x, train=train)
        x = ACTIVATIONS[options.activation](x).astype(jnp.float32).mean(axis=(1, 2))
        x = nn.Dropout(options.dropout, deterministic=not train)(x)
        return nn.Dense(self.classes, dtype=dtype, name="head")(x).astype(jnp.float32)


class SeparableBlock(nn.Module):
    """Separable convolutions and pooling, added to a 1x1 convolution of every other pixel.

    A separable convolution is one over each channel alone, then one of 1x1 over all channels,
    with nothing between them.
    """

    options: Xception
    width: int
    convolutions: int

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Float[Array, "batch down across {self.width}"]:
        """Images to images of half the height and width."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        residual = x
        for n in range(self.convolutions):
            x = ACTIVATIONS[options.activation](x)
            x = DepthwiseConv(dtype=dtype, name=f"depthwise_{n}")(x)
            x = self._pointwise(x, f"pointwise_{n}", f"norm_{n}", train=train)
        if min(x.shape[1:3]) > 1:
            x = mean_pool(x)
            height, width = x.shape[1:3]
            residual = residual[:, : 2 * height : 2, : 2 * width : 2]
        return x + self._pointwise(residual, "shortcut", "norm_shortcut", train=train)

    def _pointwise(
        self, x: Images, name: str, norm: str, *, train: bool
    ) -> Float[Array, "batch height width {self.width}"]:
        options = self.options
        dtype = jnp.dtype(options.dtype)
        x = Conv(self.width, size=1, use_bias=not options.batch_norm, dtype=dtype, name=name)(x)
        return batch_norm(x, name=norm, train=train, dtype=dtype) if options.batch_norm else x
