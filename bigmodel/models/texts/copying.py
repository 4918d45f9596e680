"""A decoder's next token, partly copied from the source (See et al., 2017)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from bigmodel.experiment import Rules
from bigmodel.models.layers.dense import Dense

COPYING_PARTITION: Rules = ((r"switch/kernel$", P("fsdp", None)), (r"switch/bias$", P()))
"""Rules for the parameters that attention has not."""
TINY = 1e-20


class CopySource(NamedTuple):
    """What can be copied: the keys of a source's positions, its tokens, and which are real."""

    keys: Float[Array, "batch source width"]
    tokens: Int[Array, "batch source"]
    mask: Bool[Array, "batch 1 source"]


class Copying(nn.Module):
    """``p(v) = g softmax(logits)[v] + (1 - g) * sum of a_i over the positions i that have v``.

    ``a`` is attention to the source by a head of its own, ``softmax(query(h) key(source)^T /
    sqrt(width))``, and ``g = sigmoid(switch(h))`` says how much is generated. The paper's switch
    also reads the context and the decoder's input, which are in the ``h`` of a transformer. Tokens
    are pieces of words, of which none is unknown, so the paper's extended vocabulary is not
    needed. Its coverage is not here.

    Which token a position has is a product with ones and zeros, ``[batch, source, vocabulary]``.
    """

    width: int
    dtype: jnp.dtype

    def setup(self) -> None:
        """Make the parts that the methods share."""
        dense = partial(Dense, self.width, use_bias=False, dtype=self.dtype)
        self.query, self.key = dense(), dense()
        self.switch = Dense(1, dtype=self.dtype)

    def source(
        self,
        encoded: Float[Array, "batch source width"],
        tokens: Int[Array, "batch source"],
        mask: Bool[Array, "batch 1 source"],
    ) -> CopySource:
        """What can be copied of a source."""
        return CopySource(self.key(encoded), tokens, mask)

    def __call__(
        self,
        logits: Float[Array, "batch time vocabulary"],
        h: Float[Array, "batch time width"],
        source: CopySource,
    ) -> Float[Array, "batch time vocabulary"]:
        """The logarithms of the mixed probabilities, of which the softmax is the mixture."""
        products = partial(jnp.einsum, preferred_element_type=jnp.float32)
        scores = products("btw,bsw->bts", self.query(h), source.keys) * self.width**-0.5
        scores = jnp.where(source.mask, scores, jnp.finfo(jnp.float32).min)
        places = jax.nn.one_hot(source.tokens, logits.shape[-1], dtype=jnp.float32)
        copied = products("bts,bsv->btv", jax.nn.softmax(scores, axis=-1), places)
        switch = self.switch(h).astype(jnp.float32)
        generated = jax.nn.log_softmax(logits, axis=-1) + jax.nn.log_sigmoid(switch)
        return jnp.logaddexp(generated, jnp.log(copied + TINY) + jax.nn.log_sigmoid(-switch))
