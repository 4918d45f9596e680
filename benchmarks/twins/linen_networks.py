"""The networks in plain Flax Linen: its own layers, as its guides use them."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from batches import CLASSES

Array = jax.Array


def sinusoidal(positions: Array, width: int) -> Array:
    """Sines and cosines of positions."""
    frequencies = 10_000.0 ** (-jnp.arange(0, width, 2) / width)
    angles = positions[:, None] * frequencies
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(-1, width)


def rotated(x: Array) -> Array:
    """Queries or keys ``[batch, time, heads, size]``, turned by their positions."""
    time, size = x.shape[1], x.shape[-1]
    angles = jnp.arange(time)[:, None] * 10_000.0 ** (-jnp.arange(0, size, 2) / size)
    cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class Attention(nn.Module):
    """Multi-head attention without biases."""

    heads: int
    rotary: bool = False

    @nn.compact
    def __call__(self, x: Array, source: Array, mask: Array | None) -> Array:
        """From each position of ``x`` to the source."""
        width = x.shape[-1]
        dense = partial(nn.DenseGeneral, (self.heads, width // self.heads), use_bias=False)
        query, key, value = dense()(x), dense()(source), dense()(source)
        if self.rotary:
            query, key = rotated(query), rotated(key)
        mixed = nn.dot_product_attention(query, key, value, mask=mask)
        return nn.DenseGeneral(width, axis=(-2, -1), use_bias=False)(mixed)


class FeedForward(nn.Module):
    """Four times the width, and back."""

    activation: Any = nn.gelu

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Each position by itself."""
        hidden = self.activation(nn.Dense(4 * x.shape[-1], use_bias=False)(x))
        return nn.Dense(x.shape[-1], use_bias=False)(hidden)


class Block(nn.Module):
    """A pre-norm block, with attention to a source where it gets one."""

    heads: int
    rotary: bool = False
    norm: Any = nn.LayerNorm
    activation: Any = nn.gelu

    @nn.compact
    def __call__(self, x: Array, mask: Array | None, source: Array | None = None) -> Array:
        """The block's output."""
        normed = self.norm()(x)
        x = x + Attention(self.heads, self.rotary)(normed, normed, mask)
        if source is not None:
            x = x + Attention(self.heads)(self.norm()(x), source, None)
        return x + FeedForward(self.activation)(self.norm()(x))


class Perceptron(nn.Module):
    """A multilayer perceptron."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, batch: Any) -> Array:
        """Logits."""
        x = batch["features"]
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(CLASSES)(x)


class ConvNetwork(nn.Module):
    """A convolution and pooling for each width, and a hidden dense layer."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, batch: Any) -> Array:
        """Logits."""
        x = batch["image"]
        for width in self.widths:
            x = nn.max_pool(nn.relu(nn.Conv(width, (3, 3))(x)), (2, 2), strides=(2, 2))
        x = nn.relu(nn.Dense(128)(x.reshape(x.shape[0], -1)))
        return nn.Dense(CLASSES)(x)


class Residual(nn.Module):
    """A residual network for small images."""

    depth: int

    @nn.compact
    def __call__(self, batch: Any) -> Array:
        """Logits."""
        norm = partial(nn.BatchNorm, use_running_average=False, momentum=0.9)
        x = nn.relu(norm()(nn.Conv(16, (3, 3), use_bias=False)(batch["image"])))
        for stage in range(3):
            for block in range((self.depth - 2) // 6):
                stride = 2 if stage and not block else 1
                width = 16 << stage
                y = nn.Conv(width, (3, 3), stride, use_bias=False)(x)
                y = nn.Conv(width, (3, 3), use_bias=False)(nn.relu(norm()(y)))
                y = norm(scale_init=nn.initializers.zeros)(y)
                if stride > 1:
                    x = norm()(nn.Conv(width, (1, 1), stride, use_bias=False)(x))
                x = nn.relu(x + y)
        return nn.Dense(CLASSES)(x.mean(axis=(1, 2)))


class Recurrent(nn.Module):
    """A recurrent layer, and a dense one on its last output."""

    cell: str
    width: int

    @nn.compact
    def __call__(self, batch: Any) -> Array:
        """Logits."""
        cell = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}[self.cell](self.width)
        carry, _ = nn.RNN(cell, return_carry=True)(batch["sequence"], seq_lengths=batch["length"])
        return nn.Dense(CLASSES)(carry[1] if self.cell == "lstm" else carry)


class Gpt(nn.Module):
    """A decoder with rotary positions and the embedding as its last layer."""

    layers: int
    width: int
    heads: int
    vocab: int

    @nn.compact
    def __call__(self, batch: Any) -> Array:
        """Logits of the next tokens."""
        embedding = nn.Embed(self.vocab, self.width)
        x, mask = embedding(batch["tokens"]), nn.make_causal_mask(batch["tokens"])
        for _ in range(self.layers):
            x = Block(self.heads, rotary=True, norm=nn.RMSNorm)(x, mask)
        return embedding.attend(nn.RMSNorm()(x))


class Bert(nn.Module):
    """An encoder that fills in the tokens at chosen positions."""

    layers: int
    width: int
    heads: int
    vocab: int
    context: int

    @nn.compact
    def __call__(self, batch: Any) -> Array:
        """Logits of the chosen tokens."""
        embedding = nn.Embed(self.vocab + 2, self.width)
        first = jnp.full((batch["tokens"].shape[0], 1), self.vocab + 1)
        tokens = jnp.concatenate([first, batch["tokens"]], axis=1)
        positions = jnp.arange(self.context + 1)
        x = nn.LayerNorm()(embedding(tokens) + nn.Embed(self.context + 1, self.width)(positions))
        mask = (positions <= batch["length"][:, None])[:, None, None]
        for _ in range(self.layers):
            x = Block(self.heads)(x, mask)
        x = jnp.take_along_axis(nn.LayerNorm()(x), batch["chosen"][..., None] + 1, axis=1)
        x = nn.LayerNorm()(nn.gelu(nn.Dense(self.width)(x)))
        bias = self.param("bias", nn.initializers.zeros, (self.vocab,))
        return x @ embedding.embedding[: self.vocab].T + bias


class Vit(nn.Module):
    """A transformer over the patches of an image."""

    patch: int
    layers: int
    width: int
    heads: int

    @nn.compact
    def __call__(self, batch: Any) -> Array:
        """Logits."""
        size = (self.patch, self.patch)
        x = nn.Conv(self.width, size, size, padding="VALID")(batch["image"])
        x = x.reshape(x.shape[0], -1, self.width)
        x = x + self.param("position", nn.initializers.normal(0.02), x.shape[1:])
        for _ in range(self.layers):
            x = Block(self.heads)(x, None)
        return nn.Dense(CLASSES)(nn.LayerNorm()(x).mean(axis=1))


class Translation(nn.Module):
    """An encoder, and a decoder that attends to it."""

    layers: int
    width: int
    heads: int
    vocab: int

    @nn.compact
    def __call__(self, batch: Any) -> Array:
        """Logits of the next tokens of the target."""
        block = partial(Block, self.heads, activation=lambda x: jnp.square(nn.relu(x)))
        source, target = batch["source"], batch["target_in"]
        positions = sinusoidal(jnp.arange(source.shape[1]), self.width)
        x = nn.Embed(self.vocab, self.width)(source) + positions
        mask = (jnp.arange(source.shape[1]) < batch["source_length"][:, None])[:, None, None]
        for _ in range(self.layers):
            x = block()(x, mask)
        encoded = nn.LayerNorm()(x)
        x = nn.Embed(self.vocab, self.width)(target) + positions
        for _ in range(self.layers):
            x = block()(x, nn.make_causal_mask(target), encoded)
        return nn.Dense(self.vocab, use_bias=False)(nn.LayerNorm()(x))


class Generator(nn.Module):
    """Latents to images."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, latents: Array) -> Array:
        """Images in [0, 1]."""
        fine, coarse = self.widths
        x = nn.Dense(7 * 7 * coarse, use_bias=False)(latents).reshape(-1, 7, 7, coarse)
        for features, bias in ((fine, False), (1, True)):
            x = nn.silu(nn.BatchNorm(use_running_average=False, momentum=0.9)(x))
            x = nn.ConvTranspose(features, (4, 4), (2, 2), use_bias=bias)(x)
        return nn.sigmoid(x)


class Discriminator(nn.Module):
    """Images to the logit that they are real."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """A logit for each image."""
        x = 2 * images - 1
        for width in self.widths:
            x = nn.silu(nn.Conv(width, (4, 4), 2)(x))
        return nn.Dense(1)(x.reshape(x.shape[0], -1))[:, 0]


class Vae(nn.Module):
    """A variational autoencoder of dense layers."""

    widths: tuple[int, ...]
    latents: int

    @nn.compact
    def __call__(self, image: Array, noise: Array) -> tuple[Array, Array, Array]:
        """Logits of pixels, and means and logarithms of variances of the latents."""
        x = (2 * image - 1).reshape(image.shape[0], -1)
        for width in self.widths:
            x = nn.silu(nn.Dense(width)(x))
        mean, log_variance = jnp.split(nn.Dense(2 * self.latents)(x), 2, axis=-1)
        x = mean + jnp.exp(log_variance / 2) * noise
        for width in self.widths[::-1]:
            x = nn.silu(nn.Dense(width)(x))
        return nn.Dense(image[0].size)(x).reshape(image.shape), mean, log_variance


class ConditionedBlock(nn.Module):
    """A residual block that the time scales and shifts."""

    width: int

    @nn.compact
    def __call__(self, x: Array, condition: Array) -> Array:
        """Images of the same size."""
        y = nn.Conv(self.width, (3, 3), use_bias=False)(nn.silu(nn.GroupNorm(8)(x)))
        y = nn.GroupNorm(8, use_bias=False, use_scale=False)(y)
        both = nn.Dense(2 * self.width)(nn.silu(condition))
        scale, shift = jnp.split(both[:, None, None], 2, axis=-1)
        y = nn.Conv(self.width, (3, 3))(nn.silu(y * (1 + scale) + shift))
        if x.shape[-1] != self.width:
            x = nn.Conv(self.width, (1, 1), use_bias=False)(x)
        return x + y


class Unet(nn.Module):
    """Two grids, with a skip connection at each."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, image: Array, time: Array) -> Array:
        """The noise of images."""
        fine, coarse = self.widths
        condition = nn.Dense(4 * fine)(sinusoidal(1000 * time, 4 * fine))
        x = ConditionedBlock(fine)(nn.Conv(fine, (3, 3))(image), condition)
        upper, x = x, nn.Conv(coarse, (3, 3), 2)(x)
        lower = x = ConditionedBlock(coarse)(x, condition)
        x = ConditionedBlock(coarse)(x, condition)
        x = ConditionedBlock(coarse)(jnp.concatenate([x, lower], axis=-1), condition)
        x = nn.Conv(fine, (3, 3))(x.repeat(2, axis=1).repeat(2, axis=2))
        x = ConditionedBlock(fine)(jnp.concatenate([x, upper], axis=-1), condition)
        return nn.Conv(1, (3, 3))(nn.silu(nn.GroupNorm(8)(x)))
