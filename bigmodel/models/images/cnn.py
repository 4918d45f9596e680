"""Convolutional network for classes of images (LeCun et al., 1998).

LeNet-5 and VGG are such networks too: see :mod:`bigmodel.models.images.named_cnn`.
"""

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
from bigmodel.models.layers.convolution import Conv, Images
from bigmodel.models.layers.norm import batch_norm
from bigmodel.models.layers.resolution import enlarged, max_pool, mean_pool
from bigmodel.models.options import check_dropout, check_sizes, check_widths

PARTITION: Rules = (
    (r"conv_\d+/kernel$", P(None, None, None, "fsdp")),
    (r"(dense(_\d+)?|head)/kernel$", P("fsdp", None)),
    (r"(bias|scale)$", P()),
)

POOLINGS = {"max": max_pool, "mean": mean_pool}


@dataclass(frozen=True)
class ConvNet:
    """Blocks of convolutions, each block at half the resolution, then dense layers."""

    widths: tuple[int, ...] = (32, 64)
    """channels of each block"""
    convolutions: tuple[int, ...] = (2,)
    """convolutions in each block; one number is for all blocks"""
    kernel: int = 3
    """height and width of a convolution's kernel"""
    padding: Literal["same", "valid"] = "same"
    """same: a convolution keeps the size of the image; valid: it loses kernel - 1 pixels"""
    dense: tuple[int, ...] = (128,)
    """widths of the dense layers before the last one"""
    dropout: float = 0.1
    """probability with which a unit is dropped before each dense layer, in training"""
    batch_norm: bool = False
    """whether batch normalization (Ioffe and Szegedy, 2015) follows each convolution"""
    activation: Activation = "relu"
    """activation after each convolution and dense layer"""
    pooling: Literal["max", "mean"] = "max"
    """pooling of 2x2 pixels; with max, rounding decides which of nearly equal ones get gradients"""
    resolution: int | None = None
    """height and width to which images are enlarged first; by default they are not"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters and logits are float32"""

    def build(self, classes: int) -> Model:
        """The network: images to logits, float32 ``[batch, class]``."""
        return linen.model(self.network(classes), partition=PARTITION)

    def features(self, classes: int) -> Model:
        """The same network and variables up to the last layer: float32 ``[batch, feature]``."""
        return linen.model(self.network(classes), partition=PARTITION, method="features")

    def network(self, classes: int) -> CNN:
        """The module.

        Raises:
            InputError: A size is not positive, or the dropout is not a rate.
        """
        check_widths(self)
        check_widths(self, "dense", least=0)
        if not self.convolutions or min(self.convolutions) < 1:
            raise InputError(f"--model.convolutions {self.convolutions} must be at least 1 each")
        if len(self.convolutions) not in (1, len(self.widths)):
            raise InputError(
                f"--model.convolutions {self.convolutions} must be one number, or one for each "
                f"of the {len(self.widths)} --model.widths"
            )
        check_sizes(self, "kernel")
        check_dropout(self.dropout)
        return CNN(options=self, classes=classes)


class CNN(nn.Module):
    """The network that :class:`ConvNet` describes."""

    options: ConvNet
    classes: int

    def features(self, x: Images, *, train: bool) -> Float[Array, "batch feature"]:
        """The input of the last layer."""
        return self(x, train=train, head=False)

    @nn.compact
    def __call__(
        self, x: Images, *, train: bool, head: bool = True
    ) -> Float[Array, "batch class"] | Float[Array, "batch feature"]:
        """Images to logits; without the head, to its input."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        if options.resolution is not None:
            x = enlarged(x, options.resolution)
        counts = options.convolutions * (len(options.widths) // len(options.convolutions))
        for i, (width, count) in enumerate(zip(options.widths, counts, strict=True)):
            x = ConvBlock(options, width, count, name=f"blocks_{i}")(x, train=train)
        x = x.reshape(x.shape[0], -1)
        dropout = nn.Dropout(options.dropout, deterministic=not train, name="dropout")
        for i, width in enumerate(options.dense):
            name = f"dense_{i}" if i else "dense"
            x = nn.Dense(width, dtype=dtype, name=name)(dropout(x))
            x = ACTIVATIONS[options.activation](x)
        x = x.astype(jnp.float32)
        if head:
            x = nn.Dense(self.classes, dtype=dtype, name="head")(dropout(x)).astype(jnp.float32)
        return x


class ConvBlock(nn.Module):
    """Convolutions of one width, each with its activation, then pooling while there are pixels."""

    options: ConvNet
    width: int
    convolutions: int

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Float[Array, "batch down across {self.width}"]:
        """Images to images of half the height and width."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        for n in range(self.convolutions):
            if options.padding == "valid" and min(x.shape[1:3]) < options.kernel:
                raise InputError(
                    f"--model.padding valid leaves {x.shape[1]}x{x.shape[2]} pixels, fewer than "
                    f"--model.kernel {options.kernel} needs; use larger images or fewer blocks"
                )
            x = Conv(
                self.width,
                size=options.kernel,
                padding="SAME" if options.padding == "same" else "VALID",
                # A bias before batch normalization would be subtracted again with the mean.
                use_bias=not options.batch_norm,
                dtype=dtype,
                name=f"conv_{n}",
            )(x)
            if options.batch_norm:
                x = batch_norm(x, name=f"norm_{n}", train=train, dtype=dtype)
            x = ACTIVATIONS[options.activation](x)
        return POOLINGS[options.pooling](x) if min(x.shape[1:3]) > 1 else x
