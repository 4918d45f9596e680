"""Encoders of images to a few numbers, and the decoders that mirror them.

The activation is SiLU, which has no kinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import Model, Rules
from bigmodel.models.layers.convolution import Conv, Images, UpConv
from bigmodel.models.linen import model
from bigmodel.models.options import check_sizes, check_widths

PARTITION: Rules = (
    (r"(down|up)_\d+/kernel$", P(None, None, None, "fsdp")),
    (r"(hidden_\d+|project|pixels)/kernel$", P(None, "fsdp")),
    (r"code/kernel$", P("fsdp", None)),
    (r"bias$", P()),
)

Codes = Float[Array, "batch code"]
Shape = tuple[int, int, int]

# A pixel gets 4 of a kernel's 16 taps: the variance of He et al. (2015) for those.
UP_INIT = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal")
DENSE_INIT = nn.initializers.he_normal()


class DenseEncoder(nn.Module):
    """Images to codes by dense layers."""

    outputs: int
    widths: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images: Images) -> Codes:
        """Codes of images."""
        x = (2 * images - 1).reshape(images.shape[0], -1).astype(self.dtype)
        for i, width in enumerate(self.widths):
            dense = nn.Dense(width, kernel_init=DENSE_INIT, dtype=self.dtype, name=f"hidden_{i}")
            x = nn.silu(dense(x))
        return nn.Dense(self.outputs, dtype=self.dtype, name="code")(x).astype(jnp.float32)


class DenseDecoder(nn.Module):
    """Codes to the logits of pixels by dense layers."""

    shape: Shape
    widths: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Codes) -> Images:
        """Logits of pixels."""
        for i, width in enumerate(reversed(self.widths)):
            dense = nn.Dense(width, kernel_init=DENSE_INIT, dtype=self.dtype, name=f"hidden_{i}")
            x = nn.silu(dense(x))
        x = nn.Dense(prod(self.shape), dtype=self.dtype, name="pixels")(x)
        return x.reshape(-1, *self.shape).astype(jnp.float32)


class ConvEncoder(nn.Module):
    """Images to codes by convolutions, each to half the resolution."""

    outputs: int
    widths: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images: Images) -> Codes:
        """Codes of images."""
        x = 2 * images - 1
        for i, width in enumerate(self.widths):
            x = nn.silu(Conv(width, size=4, stride=2, dtype=self.dtype, name=f"down_{i}")(x))
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(self.outputs, dtype=self.dtype, name="code")(x).astype(jnp.float32)


class ConvDecoder(nn.Module):
    """Codes to the logits of pixels by transposed convolutions, each to twice the resolution."""

    shape: Shape
    widths: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Codes) -> Images:
        """Logits of pixels."""
        height, width, channels = self.shape
        scale = 2 ** len(self.widths)
        start = (ceil(height / scale), ceil(width / scale), self.widths[-1])
        project = nn.Dense(prod(start), kernel_init=DENSE_INIT, dtype=self.dtype, name="project")
        x = project(x).reshape(-1, *start)
        for i, features in enumerate((*self.widths[-2::-1], channels)):
            up = UpConv(
                features, use_bias=True, dtype=self.dtype, kernel_init=UP_INIT, name=f"up_{i}"
            )
            x = up(nn.silu(x))
        return x[:, :height, :width].astype(jnp.float32)


class EncoderDecoder(nn.Module):
    """An encoder, and a decoder of the first ``latents`` numbers of its codes."""

    encoder: nn.Module
    decoder: nn.Module
    latents: int

    def __call__(self, images: Images, *, train: bool) -> Images:
        """Images to the logits of their reconstructions."""
        codes = self.encode(images, train=train)
        return self.decode(codes[:, : self.latents], train=train)

    def encode(self, images: Images, *, train: bool) -> Codes:
        """Images to codes."""
        del train
        return self.encoder(images)

    def decode(self, latents: Codes, *, train: bool) -> Images:
        """Codes to the logits of pixels."""
        del train
        return self.decoder(latents)


@dataclass(frozen=True)
class Autoencoder:
    """An encoder and the decoder that mirrors it."""

    name: Literal["dense", "convolutional"] = "dense"
    """dense layers, or convolutions that halve and double the resolution"""
    latents: int = 16
    """number of latents of an image"""
    hidden: tuple[int, ...] = (512, 256)
    """dense: widths of the layers from the image to the code"""
    widths: tuple[int, ...] = (32, 64)
    """convolutional: channels from the finest grid to the coarsest"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters and outputs are float32"""

    def build(self, shape: Shape, *, per_latent: int = 1) -> tuple[Model, Model]:
        """The encoder and the decoder.

        Args:
            shape: Height, width and channels of an image.
            per_latent: How many outputs the encoder has for each latent.

        Returns:
            The encoder maps ``image`` to codes, the decoder ``latent`` to logits of pixels. They
            have the same variables: ``init`` of either makes those of both.

        Raises:
            InputError: A size is not positive.
        """
        dense = self.name == "dense"
        widths = self.hidden if dense else self.widths
        check_sizes(self, "latents")
        check_widths(self, "hidden" if dense else "widths")
        dtype = jnp.dtype(self.dtype)
        encoder, decoder = (DenseEncoder, DenseDecoder) if dense else (ConvEncoder, ConvDecoder)
        module = EncoderDecoder(
            encoder(self.latents * per_latent, widths, dtype),
            decoder(shape, widths, dtype),
            self.latents,
        )
        return (
            model(module, partition=PARTITION, method="encode"),
            model(module, inputs="latent", partition=PARTITION, method="decode"),
        )
