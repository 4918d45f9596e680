"""GPT: a causal transformer over tokens (Radford et al., 2019), pre-norm, rotary by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Model, PyTree, Rules
from bigmodel.models.attention import (
    Cache,
    CausalAttention,
    Rotation,
    empty_cache,
    rotation,
)
from bigmodel.models.generation import Decoder
from bigmodel.models.linen import model
from bigmodel.models.norm import RmsNorm

PARTITION: Rules = (
    (r"(embedding/embedding|positions/embedding)$", P(None, "fsdp")),
    (r"(query|key|value|up|head)/kernel$", P("fsdp", None)),
    (r"(output|down)/kernel$", P(None, "fsdp")),
    (r"norm\w*/scale$", P()),
)

EMBEDDING_INIT = nn.initializers.normal(0.02)


@dataclass(frozen=True)
class Gpt:
    """A pre-norm transformer decoder without biases."""

    layers: int = 4
    """blocks of attention and feed-forward network"""
    width: int = 128
    """features of a position"""
    heads: int = 4
    """attention heads; they share the width"""
    expansion: int = 4
    """width of the feed-forward network, as a multiple of the width"""
    activation: Literal["gelu", "squared_relu"] = "gelu"
    """of the feed-forward network; squared_relu (So et al., 2021) is a fifth faster on CPU"""
    positions: Literal["rotary", "learned"] = "rotary"
    """rotary: turned into queries and keys, goes on past the context; learned: a table"""
    tied: bool = True
    """use the embedding as the output layer too"""
    dropout: float = 0.0
    """probability of dropping a feature of the embedding and of each block's output"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """what to compute in; parameters, softmax and logits are float32"""
    remat: bool = False
    """compute each block again in the backward pass: less memory, a third more work"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that do not fit each other."""
        for name in ("layers", "width", "heads", "expansion"):
            value = getattr(self, name)
            if value < 1:
                raise InputError(f"--model.{name} {value} is too small; use 1 or more")
        if self.width % self.heads:
            fitting = [heads for heads in range(1, self.width + 1) if self.width % heads == 0]
            nearest = min(fitting, key=lambda heads: abs(heads - self.heads))
            raise InputError(
                f"--model.heads {self.heads} does not divide --model.width {self.width}; "
                f"use {nearest}, or another width"
            )
        if self.positions == "rotary" and (self.width // self.heads) % 2:
            raise InputError(
                f"rotary positions turn pairs, and {self.heads} heads of --model.width "
                f"{self.width} have {self.width // self.heads} features each; make them even"
            )
        if not 0 <= self.dropout < 1:
            raise InputError(f"--model.dropout {self.dropout} is no probability; use 0 to below 1")

    def build(self, *, vocab_size: int, context: int) -> Model:
        """The model, which reads the batch's ``tokens`` and gives logits over the vocabulary."""
        network = self._network(vocab_size=vocab_size, context=context)
        return model(network, inputs="tokens", partition=PARTITION)

    def decoder(self, *, vocab_size: int, context: int) -> Decoder:
        """The same network with a key-value cache, for generation."""
        network = self._network(vocab_size=vocab_size, context=context)

        def empty(batch: int) -> Memory:
            cache = empty_cache(
                batch=batch,
                window=context,
                heads=self.heads,
                size=self.width // self.heads,
                dtype=jnp.dtype(self.dtype),
            )
            return Memory(jnp.zeros((), jnp.int32), (cache,) * self.layers)

        def extend(
            params: PyTree, tokens: Int[Array, "batch time"], memory: Memory
        ) -> tuple[Float[Array, "batch time vocabulary"], Memory]:
            return cast(
                "tuple[Float[Array, 'batch time vocabulary'], Memory]",
                network.apply({"params": params}, tokens, memory, method="extend"),
            )

        return Decoder(empty, extend, limit=context if self.positions == "learned" else None)

    def _network(self, *, vocab_size: int, context: int) -> GptNetwork:
        return GptNetwork(options=self, vocab_size=vocab_size, context=context)


class Memory(NamedTuple):
    """What generation carries: how many positions were seen, and each block's cache."""

    seen: Int[Array, ""]
    caches: tuple[Cache | None, ...]


def squared_relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``max(x, 0)^2``."""
    return jnp.square(nn.relu(x))


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``."""

    options: Gpt
    window: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time width"],
        positions: Int[Array, "time"],
        by: Rotation | None,
        cache: Cache | None,
        train: bool,
    ) -> tuple[Float[Array, "batch time width"], Cache | None]:
        """The block's output, and its cache with these positions in it (None without one)."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        # Each of the 2 * layers sums into x adds variance; together they keep that of one.
        output_init = nn.initializers.variance_scaling(
            0.5 / options.layers, "fan_in", "truncated_normal"
        )
        activation = nn.gelu if options.activation == "gelu" else squared_relu
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        attention = CausalAttention(
            options.heads, self.window, dtype, output_init, name="attention"
        )
        normed = RmsNorm(dtype, name="norm_attention")(x)
        mixed, cache = attention(normed, positions=positions, by=by, cache=cache)
        x = x + dropout(mixed)
        normed = RmsNorm(dtype, name="norm_feed_forward")(x)
        up = nn.Dense(options.expansion * options.width, use_bias=False, dtype=dtype, name="up")
        down = nn.Dense(
            options.width, use_bias=False, dtype=dtype, kernel_init=output_init, name="down"
        )
        return x + dropout(down(activation(up(normed)))), cache


class GptNetwork(nn.Module):
    """Embedding, blocks, norm, logits."""

    options: Gpt
    vocab_size: int
    context: int

    def setup(self) -> None:
        """Make the parts that ``__call__`` and ``extend`` share."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        block = nn.remat(Block, static_argnums=(5,)) if options.remat else Block
        embed: Mapping[str, Any] = {"embedding_init": EMBEDDING_INIT, "dtype": dtype}
        self.embedding = nn.Embed(self.vocab_size, options.width, **embed)
        if options.positions == "learned":
            self.positions = nn.Embed(self.context, options.width, **embed)
        self.blocks = [block(options, self.context) for _ in range(options.layers)]
        self.norm = RmsNorm(dtype)
        if not options.tied:
            self.head = nn.Dense(
                self.vocab_size,
                use_bias=False,
                dtype=dtype,
                kernel_init=EMBEDDING_INIT,
                dot_general=partial(lax.dot_general, preferred_element_type=jnp.float32),
            )
        self.dropout = nn.Dropout(options.dropout)

    def __call__(
        self, tokens: Int[Array, "batch time"], *, train: bool
    ) -> Float[Array, "batch time vocabulary"]:
        """The logits of what follows each token, in float32."""
        caches = (None,) * self.options.layers
        logits, _ = self._run(tokens, jnp.zeros((), jnp.int32), caches, train=train)
        return logits

    def extend(
        self, tokens: Int[Array, "batch time"], memory: Memory
    ) -> tuple[Float[Array, "batch time vocabulary"], Memory]:
        """The logits of tokens that follow those in the memory, and the memory with them."""
        logits, caches = self._run(tokens, memory.seen, memory.caches, train=False)
        return logits, Memory(memory.seen + tokens.shape[1], caches)

    def _run(
        self,
        tokens: Int[Array, "batch time"],
        seen: Int[Array, ""],
        caches: tuple[Cache | None, ...],
        *,
        train: bool,
    ) -> tuple[Float[Array, "batch time vocabulary"], tuple[Cache | None, ...]]:
        options = self.options
        positions = seen + jnp.arange(tokens.shape[1], dtype=jnp.int32)
        x = self.embedding(tokens)
        by = None
        if options.positions == "learned":
            x = x + self.positions(positions)[None]
        else:
            by = rotation(positions, size=options.width // options.heads)
        x = self.dropout(x, deterministic=not train)
        after = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block(x, positions, by, cache, train)
            after.append(cache)
        return self._logits(self.norm(x)), tuple(after)

    def _logits(self, x: Float[Array, "batch time width"]) -> Float[Array, "batch time vocabulary"]:
        if not self.options.tied:
            return self.head(x)
        table = self.embedding.embedding.astype(x.dtype)
        return jnp.einsum("btd,vd->btv", x, table, preferred_element_type=jnp.float32)
