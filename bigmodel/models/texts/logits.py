"""Logits of a large vocabulary, which are never in memory all at once.

What losses and metrics need of them are a few numbers for each token: the logits are computed in
tiles of the vocabulary, and again in the backward pass, which makes four products of three. The
loss of GPT-2's 50,257 tokens at 8x1024 positions and a width of 768, and its gradients, take 0.71
GB of temporary memory, and 6.59 with all logits (``memory_analysis`` on CPU, float32).
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Batch, Key, Model, Variables
from bigmodel.models.layers.dense import rows_dot_general
from bigmodel.models.texts.scores import Scores
from bigmodel.partition import EXAMPLES, constrained

LARGE = 16_384
"""Vocabularies of more tokens are computed in tiles."""

TILE = 4096
"""The most tokens of the vocabulary in a tile."""

SPREAD = (EXAMPLES, "sequence", "tensor")
"""The mesh axes that split logits ``[batch, position, vocabulary]``."""

SPLIT = 128
"""Tiles are a multiple of it, which the mesh axis ``tensor`` and matrix units divide."""


Table: TypeAlias = Float[Array | np.ndarray, "vocabulary width"]
Bias: TypeAlias = Float[Array | np.ndarray, " vocabulary"]


class Unscored(NamedTuple):
    """Logits that are not computed: features, and the vectors and biases of the vocabulary."""

    features: Float[Array, "batch position width"]
    table: Table
    bias: Bias | None

    def logits(self) -> Float[Array, "batch position vocabulary"]:
        """All of them, in float32."""
        return _products(self.features, self.table, self.bias, axis=1)

    def scores(self, targets: Int[Array, "batch position"]) -> Scores:
        """What is known of them; see :class:`Scores`."""
        vocabulary = len(self.table)
        tiles = -(-vocabulary // TILE)
        size = -(-vocabulary // (tiles * SPLIT)) * SPLIT
        spare = tiles * size - vocabulary
        # Token v is in tile v % tiles, so that each has its part of what a device holds of a
        # table that is split.
        table = jnp.pad(self.table, ((0, spare), (0, 0))).reshape(size, tiles, -1).swapaxes(0, 1)
        bias = jnp.zeros(vocabulary, jnp.float32) if self.bias is None else self.bias
        biases = jnp.pad(bias, (0, spare), constant_values=-jnp.inf).reshape(size, tiles).T
        dtype, features = self.features.dtype, self.features.astype(jnp.float32)

        @jax.checkpoint
        def scored(tile: tuple[Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            number, vectors, shifts = tile
            # Gradients of the features are added up over the tiles in float32.
            logits = Unscored(features.astype(dtype), vectors, shifts).logits()
            at = jnp.where(targets % tiles == number, targets // tiles, -1)
            is_target = jnp.arange(size, dtype=at.dtype)[None, None] == at[..., None]
            target = jnp.sum(jnp.where(is_target, logits, 0.0), axis=-1)
            best = jnp.argmax(logits, axis=-1).astype(jnp.int32) * tiles + number
            return jax.nn.logsumexp(logits, axis=-1), target, jnp.max(logits, axis=-1), best

        numbers = jnp.arange(tiles, dtype=jnp.int32)
        sums, target, top, best = jax.lax.map(scored, (numbers, table, biases))
        log_sum = jax.nn.logsumexp(sums, axis=0)
        # Of equal logits the first counts, as in argmax.
        best = jnp.min(jnp.where(top == top.max(axis=0)[None], best, vocabulary), axis=0)
        middle = jnp.asarray(self.table, jnp.float32).mean(axis=0)
        mean = jnp.einsum("btd,d->bt", features, middle) + bias.mean()
        return Scores(log_sum - target.sum(axis=0), best, log_sum - mean)


def _products(
    features: Float[Array, "batch position width"],
    matrix: Float[Array | np.ndarray, "a b"],
    bias: Bias | None,
    *,
    axis: int,
) -> Float[Array, "batch position vocabulary"]:
    """With a matrix whose axis is that of the features."""
    contracted = (((2,), (axis,)), ((), ()))
    matrix = jnp.asarray(matrix, features.dtype)
    found = rows_dot_general(features, matrix, contracted, preferred_element_type=jnp.float32)
    return constrained(found if bias is None else found + bias[None, None], *SPREAD)


Logits: TypeAlias = Float[Array, "batch position vocabulary"] | Unscored
"""Outputs of a network, which are not computed where the vocabulary is large."""


def against(
    features: Float[Array, "batch position width"],
    table: Table,
    bias: Bias | None = None,
) -> Logits:
    """The products with the vectors of a vocabulary."""
    found = Unscored(features, table, bias)
    return found if len(table) > LARGE else found.logits()


class Head(nn.Module):
    """A dense layer with an output for each token of a vocabulary."""

    vocabulary: int
    dtype: jnp.dtype
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, features: Float[Array, "batch position width"]) -> Logits:
        """The logits, computed from ``dtype`` and given in float32."""
        shape = (features.shape[-1], self.vocabulary)
        kernel = jnp.asarray(self.param("kernel", self.kernel_init, shape, jnp.float32))
        bias = None
        if self.use_bias:
            zeros = nn.initializers.zeros
            bias = jnp.asarray(self.param("bias", zeros, (self.vocabulary,), jnp.float32))
        features = features.astype(self.dtype)
        if self.vocabulary > LARGE:
            return Unscored(features, kernel.T, bias)
        return _products(features, kernel, bias, axis=0)


def computed(logits: Logits) -> Float[Array, "batch position vocabulary"]:
    """The logits, computed in any case."""
    return logits.logits() if isinstance(logits, Unscored) else logits


def scored(model: Model, *, targets: str) -> Model:
    """A model whose :class:`Unscored` outputs become scores of the batch's ``targets``.

    A batch without them gets the logits. Other outputs stay as they are.
    """

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[Any, Variables]:
        outputs, updates = model.apply(variables, batch, train=train, key=key)

        def of(leaf: Any) -> Any:
            if not isinstance(leaf, Unscored):
                return leaf
            return leaf.scores(jnp.asarray(batch[targets])) if targets in batch else leaf.logits()

        return jax.tree.map(of, outputs, is_leaf=lambda x: isinstance(x, Unscored)), updates

    return model._replace(apply=apply)
