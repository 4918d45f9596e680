"""Convolutional network for classes of images (LeCun et al., 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import InputError, Model, Rules
from bigmodel.models import linen
from bigmodel.models.convolution import Conv
from bigmodel.models.pooling import max_pool, mean_pool

PARTITION: Rules = (
    (r"conv_\d+/kernel$", P(None, None, None, "fsdp")),
    (r"(dense|head)/kernel$", P("fsdp", None)),
    (r"(bias|scale)$", P()),
)

ACTIVATIONS = {"relu": nn.relu, "silu": nn.silu}
POOLINGS = {"max": max_pool, "mean": mean_pool}

Images = Float[Array, "batch height width channel"]


@dataclass(frozen=True)
class ConvNet:
    """Blocks of convolutions, each block at half the resolution, then two dense layers."""

    widths: tuple[int, ...] = (32, 64)
    """channels of each block"""
    convolutions: int = 2
    """convolutions of 3x3 in each block"""
    dense: int = 128
    """width of the dense layer before the last one"""
    dropout: float = 0.1
    """probability with which a unit is dropped before either dense layer, in training"""
    batch_norm: bool = False
    """whether batch normalization (Ioffe and Szegedy, 2015) follows each convolution"""
    activation: Literal["relu", "silu"] = "relu"
    """after each convolution and the dense layer"""
    pooling: Literal["max", "mean"] = "max"
    """max: where two values differ in their last bit, rounding decides which gets the gradient"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters and logits are float32"""

    def build(self, classes: int) -> Model:
        """The network: images to logits, float32 ``[batch, class]``."""
        return linen.model(self._module(classes), partition=PARTITION)

    def features(self, classes: int) -> Model:
        """The same network and variables up to the last layer: float32 ``[batch, dense]``."""
        return linen.model(self._module(classes), partition=PARTITION, method="features")

    def _module(self, classes: int) -> CNN:
        if not self.widths or min(self.widths) < 1:
            raise InputError(f"--model.widths {self.widths} must be one or more positive numbers")
        if self.convolutions < 1 or self.dense < 1:
            raise InputError("--model.convolutions and --model.dense must be at least 1")
        if not 0 <= self.dropout < 1:
            raise InputError(f"--model.dropout {self.dropout} must be at least 0 and below 1")
        return CNN(
            widths=self.widths,
            convolutions=self.convolutions,
            width=self.dense,
            classes=classes,
            rate=self.dropout,
            batch_norm=self.batch_norm,
            activation=self.activation,
            pooling=self.pooling,
            dtype=jnp.dtype(self.dtype),
        )


class CNN(nn.Module):
    """The network that :class:`ConvNet` describes."""

    widths: tuple[int, ...]
    convolutions: int
    width: int
    classes: int
    rate: float
    batch_norm: bool
    activation: Literal["relu", "silu"]
    pooling: Literal["max", "mean"]
    dtype: jnp.dtype

    def setup(self) -> None:
        """Name the layers, which both methods share."""
        self.blocks = [
            Block(
                width,
                self.convolutions,
                batch_norm=self.batch_norm,
                activation=self.activation,
                pooling=self.pooling,
                dtype=self.dtype,
            )
            for width in self.widths
        ]
        self.dense = nn.Dense(self.width, dtype=self.dtype)
        self.head = nn.Dense(self.classes, dtype=self.dtype)
        self.dropout = nn.Dropout(self.rate)

    def __call__(self, x: Images, *, train: bool) -> Float[Array, "batch class"]:
        """Images to logits."""
        x = self.dropout(self.features(x, train=train), deterministic=not train)
        return self.head(x).astype(jnp.float32)

    def features(self, x: Images, *, train: bool) -> Float[Array, "batch feature"]:
        """What the last layer reads."""
        for block in self.blocks:
            x = block(x, train=train)
        x = self.dropout(x.reshape(len(x), -1), deterministic=not train)
        return ACTIVATIONS[self.activation](self.dense(x)).astype(jnp.float32)


class Block(nn.Module):
    """Convolutions of one width, each with its activation, then pooling while there are pixels."""

    width: int
    convolutions: int
    batch_norm: bool
    activation: Literal["relu", "silu"]
    pooling: Literal["max", "mean"]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Images:
        """Images to images of half the height and width."""
        for n in range(self.convolutions):
            # A bias before batch normalization would be subtracted again with the mean.
            conv = Conv(
                self.width, use_bias=not self.batch_norm, dtype=self.dtype, name=f"conv_{n}"
            )
            x = conv(x)
            if self.batch_norm:
                norm = nn.BatchNorm(
                    use_running_average=not train,
                    momentum=0.9,
                    use_fast_variance=False,
                    name=f"norm_{n}",
                )
                # Statistics of bfloat16 would lose most of their digits.
                x = norm(x.astype(jnp.float32)).astype(self.dtype)
            x = ACTIVATIONS[self.activation](x)
        return POOLINGS[self.pooling](x) if min(x.shape[1:3]) > 1 else x
