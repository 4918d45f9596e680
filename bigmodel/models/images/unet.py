"""U-Net (Ronneberger et al., 2015), to remove noise and to tell the class of each pixel.

Residual blocks with group norm (Ho et al., 2020), which a denoiser scales and shifts by the time
and the class (Dhariwal and Nichol, 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Model, Rules
from bigmodel.models.attention.attention import Attention
from bigmodel.models.attention.positions import sinusoidal
from bigmodel.models.layers.convolution import Conv, Images
from bigmodel.models.linen import model
from bigmodel.models.options import check_dropout, check_sizes, check_widths

PARTITION: Rules = (
    (r"(first|inner|outer|across|halve_\d+|double_\d+)/kernel$", P(None, None, None, "fsdp")),
    (r"(time|class|scale_shift|query|key|value)/kernel$", P(None, "fsdp")),
    (r"output/kernel$", P("fsdp", None)),
    # As many outputs as an image has channels.
    (r"last/kernel$", P(None, None, "fsdp", None)),
    (r"(bias|scale)$", P()),
)
GROUPS = 8

Condition = Float[Array, "batch feature"]


class GroupNorm(nn.Module):
    """Group norm (Wu and He, 2018) of at most eight groups, computed in float32.

    A group has two channels or more: of a single one it would remove the bias.
    """

    affine: bool = True

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """Normalise each image by itself."""
        norm = nn.GroupNorm(
            num_groups=gcd(GROUPS, max(1, x.shape[-1] // 2)),
            use_bias=self.affine,
            use_scale=self.affine,
            use_fast_variance=False,
            name="group",
        )
        return norm(x.astype(jnp.float32)).astype(x.dtype)


class Block(nn.Module):
    """Two convolutions and a shortcut; a condition, if any, scales and shifts between them."""

    features: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Images, condition: Condition | None, *, train: bool
    ) -> Float[Array, "batch height width {self.features}"]:
        """Images to images of the same size."""
        inner = Conv(self.features, use_bias=False, dtype=self.dtype, name="inner")
        y = inner(nn.silu(GroupNorm(name="norm")(x)))
        y = GroupNorm(affine=condition is None, name="inner_norm")(y)
        if condition is not None:
            scale_shift = nn.Dense(2 * self.features, dtype=self.dtype, name="scale_shift")
            scale, shift = jnp.split(scale_shift(nn.silu(condition))[:, None, None], 2, axis=-1)
            y = y * (1 + scale) + shift
        y = nn.silu(y)
        y = nn.Dropout(self.dropout)(y, deterministic=not train)
        outer = Conv(
            self.features, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="outer"
        )
        if x.shape[-1] != self.features:
            x = Conv(self.features, size=1, use_bias=False, dtype=self.dtype, name="across")(x)
        return x + outer(y)


class PixelAttention(nn.Module):
    """Attention of each pixel to all pixels, added to its input."""

    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """Images to images of the same size."""
        batch, height, width, features = x.shape
        pixels = GroupNorm(name="norm")(x).reshape(batch, height * width, features)
        attention = Attention(
            self.heads, features, self.dtype, nn.initializers.zeros, name="attention"
        )
        return x + attention(pixels, pixels, None).reshape(x.shape)


class UNet(nn.Module):
    """The network that :class:`Unet`, :class:`PixelUnet` or :class:`Detector` describes.

    ``outputs`` are channels, as many as an image has where they are 0. The way up ends at the
    grid of level ``finest``: 0 is that of the pixels.
    """

    options: Unet | PixelUnet | Detector
    classes: int
    outputs: int = 0
    finest: int = 0

    @nn.compact
    def __call__(
        self,
        images: Images,
        time: Float[Array, " batch"] | None = None,
        label: Int[Array, " batch"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "batch rows columns output"]:
        """The outputs of each pixel, in float32.

        Args:
            images: images, whose values without noise are in [-1, 1].
            time: the noise level, from 0 to 1; None where there is no condition at all.
            label: the class of each image; -1 for none.
            train: whether dropout is on.
        """
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        widths = options.widths
        condition = None if time is None else self._condition(time, label)

        def blocks(
            x: Images, features: int, name: str
        ) -> Float[Array, "batch height width {features}"]:
            for i in range(options.blocks):
                block = Block(features, options.dropout, dtype, name=f"{name}_{i}")
                x = block(x, condition, train=train)
            return x

        x = Conv(widths[0], dtype=dtype, name="first")(images)
        skips = []
        for level, width in enumerate(widths):
            if level:
                x = Conv(width, stride=2, dtype=dtype, name=f"halve_{level}")(x)
            x = blocks(x, width, f"down_{level}")
            skips.append(x)
        if options.attention:
            x = PixelAttention(max(1, widths[-1] // 32), dtype, name="attention")(x)
        x = blocks(x, widths[-1], "middle")
        for level, width in reversed(list(enumerate(widths))[self.finest :]):
            skip = skips[level]
            if level < len(widths) - 1:
                x = Conv(width, dtype=dtype, name=f"double_{level}")(_twice(x, like=skip))
            x = blocks(jnp.concatenate([x, skip], axis=-1), width, f"up_{level}")
        zeros = nn.initializers.zeros
        outputs = self.outputs or images.shape[-1]
        last = Conv(outputs, kernel_init=zeros, dtype=dtype, name="last")
        return last(nn.silu(GroupNorm(name="norm")(x))).astype(jnp.float32)

    def _condition(
        self, time: Float[Array, " batch"], label: Int[Array, " batch"] | None
    ) -> Condition:
        """The time and the class, if any, as one vector for each image."""
        width, dtype = 4 * self.options.widths[0], jnp.dtype(self.options.dtype)
        waves = sinusoidal(1000 * time, width=width)
        condition = nn.Dense(width, dtype=dtype, name="time")(waves)
        if label is None:
            return condition
        onehot = jax.nn.one_hot(label, self.classes, dtype=dtype)
        return condition + nn.Dense(width, use_bias=False, dtype=dtype, name="class")(onehot)


def _twice(
    x: Float[Array, "batch rows columns channel"], *, like: Float[Array, "batch height width _"]
) -> Images:
    """Each pixel as 2x2, cut to the size of another image."""
    x = x.repeat(2, axis=1).repeat(2, axis=2)
    return x[:, : like.shape[1], : like.shape[2]]


@dataclass(frozen=True)
class Unet:
    """Residual blocks down to a coarse grid and up again, with skip connections."""

    widths: tuple[int, ...] = (32, 64)
    """channels from the finest grid to the coarsest; each halves height and width"""
    blocks: int = 1
    """number of residual blocks at each grid, down, up and in the middle"""
    attention: bool = False
    """whether the pixels of the coarsest grid attend to each other"""
    dropout: float = 0.0
    """dropout rate in the blocks"""
    conditional: bool = False
    """whether the network is conditioned on the class of an image"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the activations; parameters and outputs are float32"""

    def build(self, classes: int) -> Model:
        """The network, which reads ``image`` and ``time``, and ``label`` if it is conditional.

        Raises:
            InputError: A size is not positive, or the dropout is not a rate.
        """
        _check(self)
        also = ("label",) if self.conditional else ()
        return model(UNet(self, classes), inputs=("image", "time", *also), partition=PARTITION)


@dataclass(frozen=True)
class PixelUnet:
    """Residual blocks down to a coarse grid and up again, to a class for each pixel."""

    widths: tuple[int, ...] = (8, 16, 32, 64)
    """channels from the finest grid to the coarsest; each halves height and width"""
    blocks: int = 1
    """number of residual blocks at each grid, down, up and in the middle"""
    attention: bool = False
    """whether the pixels of the coarsest grid attend to each other"""
    dropout: float = 0.0
    """dropout rate in the blocks"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the activations; parameters and outputs are float32"""

    def build(self, classes: int) -> Model:
        """The network, which reads ``image`` and gives a logit for each class of each pixel.

        Raises:
            InputError: A size is not positive, or the dropout is not a rate.
        """
        _check(self)
        return model(UNet(self, 0, outputs=classes), partition=PARTITION)


@dataclass(frozen=True)
class Detector:
    """Residual blocks down to a coarse grid and up to one whose cells tell what lies there."""

    widths: tuple[int, ...] = (8, 16, 32, 64)
    """channels from the finest grid to the coarsest; each halves height and width"""
    blocks: int = 1
    """number of residual blocks at each grid, down, up and in the middle"""
    cell: int = 2
    """pixels that a cell is wide, a power of two: 1 for the finest grid"""
    attention: bool = False
    """whether the pixels of the coarsest grid attend to each other"""
    dropout: float = 0.0
    """dropout rate in the blocks"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the activations; parameters and outputs are float32"""

    def build(self, classes: int) -> Model:
        """The network, which reads ``image``.

        It gives a logit for each class, and four numbers for the edges, for each cell.

        Raises:
            InputError: A size is not positive, the dropout is not a rate, or no grid has such
                cells.
        """
        _check(self)
        cells = [2**level for level in range(len(self.widths))]
        if self.cell not in cells:
            raise InputError(
                f"--model.cell {self.cell} is none of the {len(cells)} grids' cells: "
                f"{', '.join(map(str, cells))}"
            )
        network = UNet(self, 0, outputs=classes + 4, finest=cells.index(self.cell))
        return model(network, partition=PARTITION)


def _check(options: Unet | PixelUnet | Detector) -> None:
    check_widths(options)
    check_sizes(options, "blocks")
    if options.attention and options.widths[-1] > 32 and options.widths[-1] % 32:
        raise InputError(
            f"--model.widths {options.widths}: attention has heads of 32, "
            "so the last width must be a multiple"
        )
    check_dropout(options.dropout)
