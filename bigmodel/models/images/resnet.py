"""Residual network (He et al., 2016), for small images and for those of ImageNet.

Depths of 8, 14, 20 and 32 are the paper's networks for 32x32: a convolution of 3x3 and three
stages of blocks, of one, two and four times the width. Depths of 18, 34, 50, 101 and 152 are
those for 224x224: a convolution of 7x7 with stride 2, pooling, and four stages; from 50 on these
have bottlenecks of which the 3x3 convolution has the stride.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import Model, Rules
from bigmodel.models import linen
from bigmodel.models.layers.activation import ACTIVATIONS, Activation
from bigmodel.models.layers.convolution import Conv, Images, Padding, window_padding
from bigmodel.models.layers.norm import batch_norm, standardized
from bigmodel.models.options import check_dropout, check_normalization, check_sizes

PARTITION: Rules = (
    (r"(stem|conv_\d+|shortcut)/kernel$", P(None, None, None, "fsdp")),
    (r"head/kernel$", P("fsdp", None)),
    (r"(bias|scale)$", P()),
)

Depth = Literal[8, 14, 20, 32, 18, 34, 50, 101, 152]


class Plan(NamedTuple):
    """A depth's blocks by stage, their kind, and whether it is for large images."""

    blocks: tuple[int, ...]
    bottleneck: bool
    large: bool


PLANS: dict[int, Plan] = {
    8: Plan((1, 1, 1), bottleneck=False, large=False),
    14: Plan((2, 2, 2), bottleneck=False, large=False),
    20: Plan((3, 3, 3), bottleneck=False, large=False),
    32: Plan((5, 5, 5), bottleneck=False, large=False),
    18: Plan((2, 2, 2, 2), bottleneck=False, large=True),
    34: Plan((3, 4, 6, 3), bottleneck=False, large=True),
    50: Plan((3, 4, 6, 3), bottleneck=True, large=True),
    101: Plan((3, 4, 23, 3), bottleneck=True, large=True),
    152: Plan((3, 8, 36, 3), bottleneck=True, large=True),
}


@dataclass(frozen=True)
class ResNet:
    """A residual network by its depth and width."""

    depth: Depth = 8
    """number of layers with parameters: 8, 14, 20, 32 for small images; the others for 224x224"""
    width: int | None = None
    """number of channels of the first stage; by default 16 for small images, 64 for large ones"""
    activation: Activation = "relu"
    """activation after each batch normalization"""
    padding: Literal["same", "symmetric"] = "same"
    """zeros around images: symmetric has as many before as after, as PyTorch's networks do"""
    mean: tuple[float, ...] = ()
    """number that is taken from each channel of the images, which are from 0 to 1"""
    deviation: tuple[float, ...] = ()
    """number by which each channel is divided after that"""
    zero_init: bool = True
    """whether a block begins as the identity: the last scale of its branch is 0 (Goyal, 2017)"""
    dropout: float = 0.0
    """probability with which a channel is dropped before the last layer, in training"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, statistics and logits are float32"""
    remat: bool = False
    """whether to recompute each block in the backward pass: less memory, a third more work"""

    def __post_init__(self) -> None:
        """Raises InputError for a width or dropout out of range."""
        check_sizes(self, "width")
        check_dropout(self.dropout)
        check_normalization(self)

    def build(self, classes: int) -> Model:
        """The network: images to logits, float32 ``[batch, class]``."""
        return linen.model(ResNetNetwork(self, classes), partition=PARTITION)

    @property
    def channels(self) -> int:
        """The number of channels of the first stage."""
        return self.width or (64 if PLANS[self.depth].large else 16)

    @property
    def zeros(self) -> Padding:
        """The padding of convolutions and pooling."""
        return "SYMMETRIC" if self.padding == "symmetric" else "SAME"


class ResNetNetwork(nn.Module):
    """The network that :class:`ResNet` describes."""

    options: ResNet
    classes: int

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Float[Array, "batch class"]:
        """Images to logits."""
        options = self.options
        plan = PLANS[options.depth]
        dtype = jnp.dtype(options.dtype)
        width = options.channels
        size, stride = (7, 2) if plan.large else (3, 1)
        x = standardized(x, options.mean, options.deviation)
        conv = partial(Conv, padding=options.zeros, use_bias=False, dtype=dtype)
        x = conv(width, size=size, stride=stride, name="stem")(x)
        x = batch_norm(x, name="norm", train=train, dtype=dtype)
        x = ACTIVATIONS[options.activation](x)
        if plan.large:
            around = window_padding(options.zeros, 3)
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=around)
        block = nn.remat(ResidualBlock, static_argnums=(2,)) if options.remat else ResidualBlock
        for stage, count in enumerate(plan.blocks):
            for n in range(count):
                stride = 2 if stage and not n else 1
                name = f"stage_{stage}_block_{n}"
                x = block(options, width << stage, stride, plan.bottleneck, name=name)(x, train)
        x = x.astype(jnp.float32).mean(axis=(1, 2))
        x = nn.Dropout(options.dropout, deterministic=not train)(x)
        return nn.Dense(self.classes, dtype=dtype, name="head")(x).astype(jnp.float32)


class ResidualBlock(nn.Module):
    """``activation(x + branch(x))``: two convolutions of 3x3, or 1x1, 3x3 and 1x1 to four times.

    If the branch changes the shape, a normalized 1x1 convolution replaces the identity.
    """

    options: ResNet
    width: int
    stride: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Float[Array, "batch down across feature"]:
        """Images to images, of half the height and width where the stride is 2."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        activation = ACTIVATIONS[options.activation]
        width, stride = self.width, self.stride
        layers = (
            ((width, 1, 1), (width, 3, stride), (4 * width, 1, 1))
            if self.bottleneck
            else ((width, 3, stride), (width, 3, 1))
        )
        conv = partial(Conv, padding=options.zeros, use_bias=False, dtype=dtype)
        branch = x
        for i, (features, size, step) in enumerate(layers):
            last = i == len(layers) - 1
            branch = batch_norm(
                conv(features, size=size, stride=step, name=f"conv_{i}")(branch),
                name=f"norm_{i}",
                train=train,
                dtype=dtype,
                scale=0.0 if last and options.zero_init else 1.0,
            )
            if not last:
                branch = activation(branch)
        if branch.shape != x.shape:
            x = conv(branch.shape[-1], size=1, stride=stride, name="shortcut")(x)
            x = batch_norm(x, name="norm_shortcut", train=train, dtype=dtype)
        return activation(x + branch)
