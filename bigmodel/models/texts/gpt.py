"""GPT: a causal transformer over tokens (Radford et al., 2019), from GPT-2 to Llama by option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Model, PyTree, Rules, Size
from bigmodel.models.attention.attention import CausalAttention, WindowCache, empty_cache
from bigmodel.models.attention.encoder import BLOCK_PARTITION
from bigmodel.models.attention.fused import AttentionName
from bigmodel.models.attention.moe import EXPERT_PARTITION, MixtureOfExperts, Routed, Routing
from bigmodel.models.attention.positions import Rotary, Rotation, check_learned, rotation
from bigmodel.models.attention.stack import (
    is_stacked,
    make_blocks,
    run_blocks,
    stacked_partition,
)
from bigmodel.models.layers.feed_forward import Activation, FeedForward, residual_init
from bigmodel.models.layers.norm import NORMS
from bigmodel.models.linen import model
from bigmodel.models.options import (
    check_divides,
    check_dropout,
    check_epsilon,
    check_sizes,
    check_window,
)
from bigmodel.models.texts.generation import Decoder
from bigmodel.models.texts.logits import Head, Logits, against, computed, scored
from bigmodel.partition import EXAMPLES, constrained
from bigmodel.tree import widened

PARTITION: Rules = (
    (r"^batch/(tokens|targets|weight)$", P(None, "sequence")),
    (r"embedding/embedding$", P("tensor", "fsdp")),
    (r"positions/embedding$", P(None, "fsdp")),
    (r"head/kernel$", P("fsdp", "tensor")),
)

BLOCK_RULES: Rules = (*BLOCK_PARTITION, (r"bias$", P()))

RESIDUAL = (EXAMPLES, "sequence", None)
"""The mesh axes that split the residual stream ``[batch, time, width]``."""

EMBEDDING_INIT = nn.initializers.normal(0.02)


@dataclass(frozen=True)
class Gpt:
    """A pre-norm transformer decoder."""

    layers: int = 4
    """number of blocks of attention and feed-forward network"""
    width: int = 128
    """number of features of a position"""
    heads: int = 4
    """number of attention heads, which share the width"""
    kv_heads: int | None = None
    """number of heads of keys and values, shared by groups of heads; by default as many as heads"""
    head_size: int | None = None
    """number of features of a head, by default the width over the heads"""
    window: int | None = None
    """number of positions that one attends to, itself included; by default the whole context"""
    global_tokens: int = 0
    """with a window: number of first positions to which all attend (Beltagy et al., 2020)"""
    expansion: float = 4.0
    """width of the feed-forward network, as a multiple of the width"""
    activation: Activation = "gelu"
    """activation of the feed-forward network; squared_relu (So et al., 2021) is faster on CPU"""
    norm: Literal["rms", "layer"] = "rms"
    """normalization before each attention and feed-forward network, and at the end"""
    epsilon: float = 1e-6
    """added to the mean square, or to the variance, in norms"""
    query_key_norm: bool = False
    """whether the queries and keys of each head are normalised (Henry et al., 2020)"""
    biases: bool = False
    """whether attention (except for keys, where they do nothing) and feed-forward have biases"""
    qkv_biases: bool = False
    """whether queries, keys and values have biases, as those of Qwen2; rotated keys can use them"""
    positions: Literal["rotary", "learned"] = "rotary"
    """rotary: rotations of queries and keys, which extend past the context; learned: a table"""
    rotary: Rotary = Rotary()
    tied: bool = True
    """whether the output layer is the embedding"""
    experts: int = 0
    """number of feed-forward networks in each block; 0 for a single one without a router"""
    experts_per_token: int = 2
    """number of experts that a token uses"""
    capacity: float | None = None
    """number of tokens of a sequence that an expert processes in training, as a multiple of its
    even share; the rest is dropped; by default every expert processes every token"""
    balance: float = 0.01
    """weight of the loss that spreads tokens evenly over the experts"""
    dropout: float = 0.0
    """probability of dropping a feature of the embedding and of each block's output"""
    attention: AttentionName = "auto"
    """kernel of the attention: cudnn on NVIDIA GPUs, splash on TPUs, xla anywhere; auto takes the
    fastest that fits"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, softmax and logits are float32"""
    remat: bool = False
    """whether to recompute each block in the backward pass: less memory, a third more work"""
    scan: bool | None = None
    """whether the blocks' parameters are a stack that is looped over, by default from 24 layers on:
    many compile as fast as few, --mesh.fsdp gathers one at a time, --mesh.pipeline splits them"""
    microbatches: int = 1
    """with scan: number of parts of a batch that follow each other through the stages of
    --mesh.pipeline; 4 for each stage leave it idle for a fifth of the time"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that do not fit each other."""
        check_sizes(self, "layers", "width", "heads", "kv_heads", "experts_per_token")
        check_sizes(self, "head_size", "microbatches")
        check_window(self)
        if not 1 <= self.expansion * self.width < float("inf"):
            raise InputError(
                f"--model.expansion {self.expansion} leaves the feed-forward network no width; "
                "use 1 or more"
            )
        if self.head_size is None:
            check_divides(self, "heads", "width")
        if self.kv_heads is not None:
            check_divides(self, "kv_heads", "heads")
        if self.positions == "rotary" and self.size % 2:
            raise InputError(
                f"rotary positions turn pairs, and {self.heads} heads of --model.width "
                f"{self.width} have {self.size} features each; make them even"
            )
        check_epsilon(self.epsilon)
        if self.experts < 0:
            raise InputError(f"--model.experts {self.experts} is too small; use 0 or more")
        if 0 < self.experts < self.experts_per_token:
            raise InputError(
                f"--model.experts-per-token {self.experts_per_token} is more than "
                f"--model.experts {self.experts}; use {self.experts} or fewer"
            )
        if self.capacity is not None and not 0 < self.capacity < float("inf"):
            raise InputError(f"--model.capacity {self.capacity} must be above 0; 1.25 is usual")
        if not 0 <= self.balance < float("inf"):
            raise InputError(f"--model.balance {self.balance} must be 0 or more; 0.01 is usual")
        check_dropout(self.dropout)

    @property
    def size(self) -> int:
        """The number of features of a head."""
        return self.head_size or self.width // self.heads

    @property
    def block_rules(self) -> Rules:
        """The partition rules for the parameters of a block."""
        return (*EXPERT_PARTITION, *BLOCK_RULES) if self.experts else BLOCK_RULES

    def build(self, *, vocab_size: int, context: int) -> Model:
        """The model, which reads the batch's ``tokens`` and gives logits over the vocabulary.

        With experts it gives :class:`~bigmodel.models.attention.moe.Routed`. Instead of the logits
        of a large vocabulary it gives :class:`~bigmodel.models.texts.scores.Scores`.
        """
        network = self._network(vocab_size=vocab_size, context=context)
        rules = (*self.block_rules, *PARTITION)
        if is_stacked(self):
            rules = (*stacked_partition(self.block_rules, layers="pipeline"), *rules)
        return scored(model(network, inputs="tokens", partition=rules), targets="targets")

    def decoder(self, *, vocab_size: int, context: int) -> Decoder:
        """The same network with a key-value cache, for generation."""
        network = self._network(vocab_size=vocab_size, context=context)

        def empty(batch: Size) -> KVCache:
            cache = empty_cache(
                batch=batch,
                window=network.window,
                heads=self.kv_heads or self.heads,
                size=self.size,
                dtype=jnp.dtype(self.dtype),
                global_tokens=self.global_tokens,
            )
            layers: Any = (cache,) * self.layers
            if is_stacked(self):
                layers = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
            return KVCache(jnp.zeros((), jnp.int32), layers)

        def decode_step(params: PyTree, tokens: Int[Array, "batch time"], cache: KVCache) -> Any:
            variables = {"params": widened(params)}
            return network.apply(variables, tokens, cache, method="decode_step")

        return Decoder(empty, decode_step, limit=context if self.positions == "learned" else None)

    def _network(self, *, vocab_size: int, context: int) -> GptNetwork:
        if self.global_tokens > context:
            raise InputError(
                f"--model.global-tokens {self.global_tokens} is more than --data.context {context}"
            )
        window = min(self.window or context, context)
        return GptNetwork(options=self, vocab_size=vocab_size, context=context, window=window)


LayerCaches: TypeAlias = tuple[WindowCache, ...] | WindowCache | None
"""A cache for each block; those of a stack of blocks are one, with a leading axis of layers."""


class KVCache(NamedTuple):
    """The number of positions so far, and their keys and values in each block."""

    length: Int[Array, ""]
    layers: LayerCaches


class GptBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``."""

    options: Gpt
    window: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time width"],
        positions: Int[Array, "time"],
        rotary: Rotation | None,
        cache: WindowCache | None,
        train: bool,
    ) -> tuple[Float[Array, "batch time width"], WindowCache | None, Routing | None]:
        """The block's output, its cache updated with these positions, and the routing of tokens.

        The last two are None without a cache and without experts.
        """
        options = self.options
        dtype = jnp.dtype(options.dtype)
        norm = NORMS[options.norm]
        init = residual_init(options.layers)
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        attention = CausalAttention(
            options.heads,
            self.window,
            dtype,
            init,
            kv_heads=options.kv_heads,
            size=options.size,
            biases=options.biases,
            qkv_biases=options.qkv_biases,
            norm=options.epsilon if options.query_key_norm else None,
            attention=options.attention,
            global_tokens=options.global_tokens,
            name="attention",
        )
        normed = norm(dtype, options.epsilon, name="norm_attention")(x)
        mixed, cache = attention(normed, positions=positions, rotary=rotary, cache=cache)
        x = constrained(x + dropout(mixed), *RESIDUAL)
        normed = norm(dtype, options.epsilon, name="norm_feed_forward")(x)
        hidden = round(options.expansion * options.width)
        network: tuple[Any, ...] = (hidden, options.activation, dtype, init, options.biases)
        if not options.experts:
            mixed = FeedForward(*network, name="feed_forward")(normed)
            return constrained(x + dropout(mixed), *RESIDUAL), cache, None
        mixture = MixtureOfExperts(
            options.experts,
            options.experts_per_token,
            options.capacity,
            *network,
            name="feed_forward",
        )
        mixed, routing = mixture(normed, train=train)
        return constrained(x + dropout(mixed), *RESIDUAL), cache, routing


class GptNetwork(nn.Module):
    """Embedding, blocks, norm, logits."""

    options: Gpt
    vocab_size: int
    context: int
    window: int

    def setup(self) -> None:
        """Make the parts that the methods share."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        embed: Mapping[str, Any] = {"embedding_init": EMBEDDING_INIT, "dtype": dtype}
        self.embedding = nn.Embed(self.vocab_size, options.width, **embed)
        if options.positions == "learned":
            self.positions = nn.Embed(self.context, options.width, **embed)
        self.blocks = make_blocks(
            GptBlock,
            options,
            self.window,
            partition=options.block_rules,
            microbatches=options.microbatches,
        )
        self.norm = NORMS[options.norm](dtype, options.epsilon)
        if not options.tied:
            self.head = Head(self.vocab_size, dtype, kernel_init=EMBEDDING_INIT)
        self.dropout = nn.Dropout(options.dropout)

    def __call__(self, tokens: Int[Array, "batch time"], *, train: bool) -> Logits | Routed:
        """The logits of what follows each token, in float32; with experts, the routing too."""
        start = jnp.zeros((), jnp.int32)
        x, _, routing = self._run(tokens, start, None, train=train)
        logits = self._logits(self.norm(x))
        return logits if routing is None else Routed(logits, *routing)

    def decode_step(
        self, tokens: Int[Array, "batch time"], cache: KVCache
    ) -> tuple[Float[Array, "batch vocabulary"], KVCache]:
        """The logits after tokens that follow those in the cache, and the updated cache."""
        x, layers, _ = self._run(tokens, cache.length, cache.layers, train=False)
        logits = computed(self._logits(self.norm(x[:, -1:])))[:, 0]
        return logits, KVCache(cache.length + tokens.shape[1], layers)

    def _run(
        self,
        tokens: Int[Array, "batch time"],
        length: Int[Array, ""],
        caches: LayerCaches,
        *,
        train: bool,
    ) -> tuple[Float[Array, "batch time width"], LayerCaches, Routing | None]:
        """All but the output layer; the third axis of the routing is that of the layers."""
        options = self.options
        positions = length + jnp.arange(tokens.shape[1], dtype=jnp.int32)
        x = self.embedding(tokens)
        rotary = None
        if options.positions == "learned":
            check_learned(tokens.shape[1], self.context)
            x = x + self.positions(positions)[None]
        else:
            rotary = rotation(positions, size=options.size, options=options.rotary)
        x = constrained(self.dropout(x, deterministic=not train), *RESIDUAL)
        x, after, (routing,) = run_blocks(
            self.blocks, x, positions, rotary, train=train, carried=caches
        )
        return x, after, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 2), routing)

    def _logits(self, x: Float[Array, "batch time width"]) -> Logits:
        if self.options.tied:
            return against(x, self.embedding.embedding)
        return self.head(x)
