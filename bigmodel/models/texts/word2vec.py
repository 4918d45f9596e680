"""Skip-gram: word vectors that predict nearby words (Mikolov et al., 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Model, Rules
from bigmodel.models.linen import model
from bigmodel.models.options import check_sizes

PARTITION: Rules = ((r"(centre|context)/embedding$", P(None, "fsdp")),)


@dataclass(frozen=True)
class SkipGram:
    """Two vectors for each word: one as the centre of a window, one as its context."""

    width: int = 64
    """number of features of a vector"""
    scale: float = 0.1
    """standard deviation of the initial vectors"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the vectors in products; parameters and logits are float32"""

    def __post_init__(self) -> None:
        """Raises InputError for a size or scale that is not positive."""
        check_sizes(self, "width")
        if not self.scale > 0:
            raise InputError(f"--model.scale {self.scale} must be above 0")

    def build(self, vocab_size: int) -> Model:
        """The model, which reads ``centre``, ``context`` and ``negatives``.

        Its outputs are the logits of ``context``, float32 ``[batch]``, and of ``negatives``,
        ``[batch, negatives]``: products of the centre's vector and theirs.
        """
        network = SkipGramNetwork(options=self, vocab_size=vocab_size)
        return model(network, inputs=("centre", "context", "negatives"), partition=PARTITION)


class SkipGramNetwork(nn.Module):
    """The network that :class:`SkipGram` describes."""

    options: SkipGram
    vocab_size: int

    @nn.compact
    def __call__(
        self,
        centre: Int[Array, "batch"],
        context: Int[Array, "batch"],
        negatives: Int[Array, "batch negatives"],
        *,
        train: bool,
    ) -> dict[str, Float[Array, "batch ..."]]:
        """The logits that the words are near the centre."""
        del train
        init, dtype = nn.initializers.normal(self.options.scale), jnp.dtype(self.options.dtype)
        embed = partial(nn.Embed, self.vocab_size, self.options.width, embedding_init=init)
        table = embed(dtype=dtype, name="context")
        vector = embed(dtype=dtype, name="centre")(centre)
        product = partial(jnp.einsum, preferred_element_type=jnp.float32)
        return {
            "context": jnp.sum((vector * table(context)).astype(jnp.float32), axis=-1),
            "negatives": product("bw,bnw->bn", vector, table(negatives)),
        }
