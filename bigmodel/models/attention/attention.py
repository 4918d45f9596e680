"""Multi-head attention: to any memory by a mask, or causal with a window and a cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bigmodel.models.attention.attend import Heads, attend, window_mask
from bigmodel.models.attention.ring import ring_attend
from bigmodel.models.placement import EXAMPLES, parts, placed


class Rotation(NamedTuple):
    """Cosines and sines of the angles by which each position turns each pair of features."""

    cos: Float[Array, "time half"]
    sin: Float[Array, "time half"]


class Cache(NamedTuple):
    """Keys and values of the last ``window`` positions; position ``p`` is in ``p % window``."""

    keys: Float[Array, "batch window heads size"]
    values: Float[Array, "batch window heads size"]


def rotation(positions: Int[Array, "time"], *, size: int, base: float = 10_000.0) -> Rotation:
    """Angles ``position * base ** (-2 i / size)`` of the pairs ``i`` (Su et al., 2021)."""
    frequencies = base ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    angles = positions.astype(jnp.float32)[:, None] * frequencies[None, :]
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rotate(heads: Heads, by: Rotation) -> Heads:
    """Turn the pairs ``(heads[..., i], heads[..., i + size / 2])`` by their positions' angles.

    Products of two rotated vectors depend on the difference of their positions alone.
    """
    cos, sin = (table.astype(heads.dtype)[None, :, None, :] for table in by)
    first, second = jnp.split(heads, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def empty_cache(*, batch: int, window: int, heads: int, size: int, dtype: jnp.dtype) -> Cache:
    """A cache that has seen no position."""
    shape = (batch, window, heads, size)
    return Cache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def cached_positions(seen: Int[Array, ""], *, window: int) -> Int[Array, "window"]:
    """The position in each slot of a cache after ``seen`` positions; negative where none is."""
    slots = jnp.arange(window, dtype=jnp.int32)
    return seen - 1 - (seen - 1 - slots) % window


def remember(cache: Cache, keys: Heads, values: Heads, *, seen: Int[Array, ""]) -> Cache:
    """The cache after the positions ``seen, seen + 1, ...``, of which the last ones are kept."""
    window = cache.keys.shape[1]
    time = keys.shape[1]
    kept = min(time, window)
    slots = (seen + time - kept + jnp.arange(kept, dtype=jnp.int32)) % window
    return Cache(
        cache.keys.at[:, slots].set(keys[:, -kept:], unique_indices=True),
        cache.values.at[:, slots].set(values[:, -kept:], unique_indices=True),
    )


class Attention(nn.Module):
    """Attention of each position to a memory: the sequence itself, or another one.

    It has no biases: the softmax cancels a key bias, so that its gradient would be nothing
    but rounding noise.
    """

    heads: int
    width: int
    dtype: jnp.dtype
    output_init: nn.initializers.Initializer

    def setup(self) -> None:
        """Make the maps that the methods share."""
        options: Mapping[str, Any] = {"use_bias": False, "dtype": self.dtype}
        self.query = nn.Dense(self.width, **options)
        self.key = nn.Dense(self.width, **options)
        self.value = nn.Dense(self.width, **options)
        self.output = nn.Dense(self.width, kernel_init=self.output_init, **options)

    def read(self, memory: Float[Array, "batch source features"]) -> Cache:
        """The keys and values of a memory, which are the same whatever attends to it."""
        return Cache(self._split(self.key(memory)), self._split(self.value(memory)))

    def __call__(
        self,
        x: Float[Array, "batch time width"],
        memory: Float[Array, "batch source features"] | Cache,
        mask: Bool[Array, "#batch #time source"],
    ) -> Float[Array, "batch time width"]:
        """What the memory holds for each position of ``x``, of those that its mask lets it see.

        A memory that is attended to many times is read once, and given as what was read.
        """
        keys, values = memory if isinstance(memory, Cache) else self.read(memory)
        mixed = attend(self._split(self.query(x)), keys, values, mask)
        return self.output(mixed.reshape(x.shape))

    def weights(
        self,
        x: Float[Array, "batch time width"],
        memory: Float[Array, "batch source features"],
        mask: Bool[Array, "#batch #time source"],
    ) -> Float[Array, "batch time heads source"]:
        """How much each position looks at each of the memory; the sum over the source is 1."""
        keys, _ = self.read(memory)
        source = memory.shape[1]
        # Mixing the unit vectors gives the weights with which they were mixed.
        units = jnp.broadcast_to(
            jnp.eye(source, dtype=keys.dtype)[None, :, None], (*keys.shape[:3], source)
        )
        return attend(self._split(self.query(x)), keys, units, mask)

    def _split(self, projected: Float[Array, "batch length width"]) -> Heads:
        size = self.width // self.heads
        heads = projected.reshape(*projected.shape[:2], self.heads, size)
        return placed(heads, EXAMPLES, None, "tensor", None)


class CausalAttention(nn.Module):
    """Self-attention in which a position sees itself and the ``window - 1`` before it.

    There may be fewer heads of keys and values than of queries: ``kv_heads``, which divides
    ``heads``. ``biases`` are those of queries, values and output: the softmax cancels a key
    bias, so that its gradient would be nothing but rounding noise.
    """

    heads: int
    window: int
    dtype: jnp.dtype
    output_init: nn.initializers.Initializer
    kv_heads: int | None = None
    biases: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time width"],
        *,
        positions: Int[Array, "time"],
        by: Rotation | None,
        cache: Cache | None,
    ) -> tuple[Float[Array, "batch time width"], Cache | None]:
        """Attend among the positions of ``x`` and, where there is one, of the cache.

        Args:
            x: Features of consecutive positions.
            positions: What those positions are; they begin where the cache ends.
            by: The rotation of these positions, or None without rotary positions.
            cache: Keys and values of the positions before, or None when ``x`` is all.

        Returns:
            The mixed features, and the cache with these positions in it (None without one).
        """
        batch, time, width = x.shape
        size = width // self.heads
        kv_heads = self.kv_heads or self.heads

        def project(name: str, heads: int, *, bias: bool) -> Heads:
            projection = nn.Dense(heads * size, use_bias=bias, dtype=self.dtype, name=name)
            split = projection(x).reshape(batch, time, heads, size)
            return placed(split, EXAMPLES, "sequence", "tensor", None)

        query = project("query", self.heads, bias=self.biases)
        key = project("key", kv_heads, bias=False)
        value = project("value", kv_heads, bias=self.biases)
        if by is not None:
            query, key = rotate(query, by), rotate(key, by)
        if cache is None and kv_heads % parts("tensor"):
            # Each device then has the keys and values of its own query heads.
            key, value = (jnp.repeat(x, self.heads // kv_heads, axis=2) for x in (key, value))
        if cache is None and parts("sequence") > 1:
            mixed = ring_attend(query, key, value, window=self.window)
        elif cache is None:
            mask = window_mask(positions, positions, window=self.window)
            mixed = attend(query, key, value, mask[None])
        else:
            seen = positions[0]
            before = cached_positions(seen, window=self.window)
            sources = jnp.concatenate([before, positions])
            mask = window_mask(positions, sources, window=self.window)
            keys = jnp.concatenate([cache.keys, key], axis=1)
            values = jnp.concatenate([cache.values, value], axis=1)
            mixed = attend(query, keys, values, mask[None])
            cache = remember(cache, key, value, seen=seen)
        output = nn.Dense(
            width,
            use_bias=self.biases,
            dtype=self.dtype,
            kernel_init=self.output_init,
            name="output",
        )
        return output(mixed.reshape(batch, time, width)), cache
