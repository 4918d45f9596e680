"""Deep convolutional generator and discriminator (Radford et al., 2015).

The activation is SiLU, not ReLU. A penalty on the discriminator's gradients differentiates
twice, and ReLU's jump at 0 then turns the last bit of one activation into a change of the
losses that is a hundred times larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import InputError, Model, Rules
from bigmodel.models.convolution import Conv
from bigmodel.models.linen import model

PARTITION: Rules = (
    (r"(up|down)_\d+/kernel$", P(None, None, None, "fsdp")),
    (r"project/kernel$", P(None, "fsdp")),
    (r"score/kernel$", P("fsdp", None)),
    (r"(bias|scale)$", P()),
)


class UpConv(nn.Module):
    """Transposed convolution with a 4x4 kernel that doubles height and width.

    One matrix product gives what each input pixel adds to the 4x4 outputs around it; their
    overlaps are summed along the rows, then along the columns. XLA's own transposed
    convolution is several times slower on a CPU.
    """

    features: int
    use_bias: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch 2*height 2*width features"]:
        """Images of twice the height and width."""
        shape = (4, 4, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(0.02), shape, jnp.float32)
        batch, height, width, channels = x.shape
        matrix = jnp.moveaxis(kernel, 2, 0).reshape(channels, -1).astype(self.dtype)
        taps = x.astype(self.dtype).reshape(-1, channels) @ matrix
        y = overlap(overlap(taps.reshape(batch, height, width, 4, 4, -1), 1), 2)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype).reshape(1, 1, 1, -1)
        return y


def overlap(taps: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Sum what the inputs along ``axis``, of which there are n, add to its 2n outputs.

    Tap i of input r, on axis 3, belongs to output 2r + i - 1. What falls outside is dropped.
    """
    before, even, odd, after = (taps[:, :, :, i] for i in range(4))
    n = even.shape[axis]
    none = jnp.zeros_like(jax.lax.slice_in_dim(even, 0, 1, axis=axis))
    left = jnp.concatenate([none, jax.lax.slice_in_dim(after, 0, n - 1, axis=axis)], axis)
    right = jnp.concatenate([jax.lax.slice_in_dim(before, 1, n, axis=axis), none], axis)
    merged = jnp.stack([even + left, odd + right], axis + 1)
    return merged.reshape(*even.shape[:axis], 2 * n, *even.shape[axis + 1 :])


class Generator(nn.Module):
    """Latents to images with values in [0, 1]; batch norm before every activation."""

    shape: tuple[int, int, int]
    widths: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, latent: Float[Array, "batch latent"], *, train: bool
    ) -> Float[Array, "batch height width channel"]:
        """Images from latents."""
        height, width, channels = self.shape
        scale = 2 ** len(self.widths)
        start = (ceil(height / scale), ceil(width / scale), self.widths[-1])
        x = nn.Dense(
            start[0] * start[1] * start[2],
            use_bias=False,
            kernel_init=nn.initializers.normal(0.02),
            dtype=self.dtype,
            name="project",
        )(latent)
        x = x.reshape(-1, *start)
        for i, features in enumerate((*self.widths[-2::-1], channels)):
            # Statistics of bfloat16 would lose most of their digits.
            x = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                use_fast_variance=False,
                name=f"norm_{i}",
            )(x.astype(jnp.float32))
            last = i == len(self.widths) - 1
            x = UpConv(features, use_bias=last, dtype=self.dtype, name=f"up_{i}")(nn.silu(x))
        return nn.sigmoid(x[:, :height, :width].astype(jnp.float32))


class Discriminator(nn.Module):
    """Images to the logit that they are real.

    There is no normalisation: an example's logit depends on that example alone, as a
    gradient penalty needs it.
    """

    widths: tuple[int, ...]
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, " batch"]:
        """Logits of images."""
        x = (2 * images - 1).astype(self.dtype)
        for i, features in enumerate(self.widths):
            x = Conv(features, size=4, stride=2, dtype=self.dtype, name=f"down_{i}")(x)
            x = nn.silu(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(1, dtype=self.dtype, name="score")(x)[:, 0].astype(jnp.float32)


@dataclass(frozen=True)
class Dcgan:
    """A generator and the discriminator that mirrors it."""

    latent: int = 64
    """Length of the random vector that an image is made from."""
    widths: tuple[int, ...] = (32, 64)
    """Channels from the finest grid to the coarsest; each halves the height and width."""
    dropout: float = 0.0
    """Rate of dropout in the discriminator."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the activations; the parameters are float32."""

    def build(self, shape: tuple[int, int, int]) -> tuple[Model, Model]:
        """Make the generator and the discriminator.

        Args:
            shape: Height, width and channels of an image.

        Returns:
            The generator reads ``latent`` of a batch, the discriminator ``image``.

        Raises:
            InputError: If a size is not positive or the dropout is not a rate.
        """
        if self.latent < 1 or not self.widths or min(self.widths) < 1:
            raise InputError(
                f"--model.latent {self.latent} --model.widths {self.widths}: "
                "sizes must be positive, and at least one width is needed"
            )
        if not 0 <= self.dropout < 1:
            raise InputError(f"--model.dropout {self.dropout}: must be at least 0 and below 1")
        dtype = jnp.dtype(self.dtype)
        generator = Generator(shape, self.widths, dtype)
        discriminator = Discriminator(self.widths, self.dropout, dtype)
        return (
            model(generator, inputs="latent", partition=PARTITION),
            model(discriminator, partition=PARTITION),
        )
