"""A transformer that goes on from a text with the codes of an image (Ramesh et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Batch, InputError, Key, Model, PyTree, Variables
from bigmodel.models.images.autoencoder import Shape
from bigmodel.models.images.vqvae import Vqvae
from bigmodel.models.layers.convolution import Images
from bigmodel.models.texts.generation import Prompts, Sampling, continuation, generate
from bigmodel.models.texts.gpt import Gpt
from bigmodel.partition import rules_below

CODES = "codes"
"""The component of a path below which the parameters of the codebook's network are."""


class Foretold(NamedTuple):
    """The logits of each code of an image, given its text and the codes before, and the codes."""

    logits: Float[Array, "batch position code"]
    targets: Int[Array, "batch position"]


class TextToImage(NamedTuple):
    """A transformer over texts and images, and the network of the codebook.

    A sequence is a text of ``time`` tokens, of a vocabulary of ``words`` and filled up with one
    more, and then the codes of an image of a ``shape``, row by row.
    """

    gpt: Gpt
    codebook: Vqvae
    shape: Shape
    words: int
    time: int

    @property
    def grid(self) -> tuple[int, int]:
        """How many codes an image has down and across."""
        scale = 2 ** len(self.codebook.widths)
        return -(-self.shape[0] // scale), -(-self.shape[1] // scale)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Those of the transformer; the numbers of the codes come first in its vocabulary."""
        return {
            "vocab_size": self.codebook.codes + self.words + 1,
            "context": self.time + prod(self.grid) - 1,
        }

    def build(self, learned: PyTree = None) -> Model:
        """The network: ``image``, ``tokens`` and ``length`` of texts to :class:`Foretold`.

        Args:
            learned: the parameters of the codebook's network, which are to be frozen; None for
                a model whose variables are known and which is not to begin.
        """
        if self.gpt.experts:
            raise InputError("--model.experts is for gpt.py; leave it out")
        transformer = self.gpt.build(**self.sizes)
        encoder, _ = self.codebook.halves(self.shape)

        def init(key: Key, batch: Batch) -> Variables:
            own, other = jax.random.split(key)
            tokens = jnp.zeros((1, self.sizes["context"]), jnp.int32)
            text = transformer.init(own, {"tokens": tokens})["params"]
            known = encoder.init(other, batch)["params"] if learned is None else learned
            return {"params": {"text": text, CODES: jax.tree.map(jnp.asarray, known)}}

        def apply(
            variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
        ) -> tuple[Foretold, Variables]:
            params = variables["params"]
            codes, _ = encoder.apply({"params": params[CODES]}, batch, train=False)
            targets = codes.reshape(codes.shape[0], -1)
            tokens = jnp.concatenate([self._prompt(batch), targets[:, :-1]], axis=1)
            own = {"params": params["text"]}
            logits, _ = transformer.apply(own, {"tokens": tokens}, train=train, key=key)
            return Foretold(logits[:, self.time - 1 :, : self.codebook.codes], targets), {}

        rules = [
            *rules_below("text", transformer.partition),
            *rules_below(CODES, encoder.partition),
        ]
        return Model(init, apply, rules)

    def drawer(self, sampling: Sampling) -> Callable[[Variables, Batch], Images]:
        """Draws images with values in [0, 1] of ``tokens``, ``length`` and ``seed`` of a batch."""
        decoder = self.gpt.decoder(**self.sizes)
        _, restored = self.codebook.halves(self.shape)

        def decode_step(params: PyTree, tokens: Array, cache: PyTree) -> tuple[Array, PyTree]:
            logits, cache = decoder.decode_step(params, tokens, cache)
            return logits[:, : self.codebook.codes], cache

        following = continuation(decoder._replace(decode_step=decode_step), sampling)

        def draw(variables: Variables, batch: Batch) -> Images:
            params, texts = variables["params"], self._prompt(batch)
            nothing = jnp.zeros((texts.shape[0], 1), jnp.int32)
            length = jnp.full_like(jnp.asarray(batch["length"]), self.time)
            prompts = Prompts(texts, nothing, length, jnp.asarray(batch["seed"]))
            codes = generate(following, params["text"], prompts, tokens=prod(self.grid))
            grid = {"token": codes.reshape(-1, *self.grid)}
            logits, _ = restored.apply({"params": params[CODES]}, grid, train=False)
            return jax.nn.sigmoid(logits)

        return draw

    def _prompt(self, batch: Batch) -> Int[Array, "batch {self.time}"]:
        """The texts as the transformer reads them."""
        tokens, length = jnp.asarray(batch["tokens"]), jnp.asarray(batch["length"])
        within = jnp.arange(self.time, dtype=jnp.int32)[None] < length[:, None]
        return self.codebook.codes + jnp.where(within, tokens, self.words)
