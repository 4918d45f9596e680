"""An encoder-decoder as a model that also translates when it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, cast, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bigmodel.experiment import Batch, Key, Model, PyTree, Rules, Variables
from bigmodel.models import linen
from bigmodel.models.attention.attention import KeyValues
from bigmodel.models.texts.beam import Beam, search
from bigmodel.models.texts.copying import CopySource
from bigmodel.models.texts.logits import scored
from bigmodel.models.texts.scores import Scores
from bigmodel.tree import widened

INPUTS = ("source", "source_length", "target_in")


class EncodedSource(NamedTuple):
    """The encoder's output, as the keys and values of each attention to it, and its mask.

    Of a stack of blocks it is one tree with a leading axis of layers. ``copied`` is what a decoder
    that copies can take of it.
    """

    keys_and_values: tuple[KeyValues, ...] | PyTree
    mask: Bool[Array, "batch 1 source"]
    copied: CopySource | None = None


class Translation(NamedTuple):
    """The outputs of the model.

    ``logits`` are those of the token after each token of the reference, or of a large vocabulary
    what is known of them. ``predicted`` is the
    model's own translation, found by beam search; None in training.
    """

    logits: Float[Array, "batch time vocabulary"] | Scores
    predicted: Int[Array, "batch time"] | None


class Translator(NamedTuple):
    """A model that translates, and its attention.

    ``translate(variables, batch)`` is the best translation that the beam search finds of each
    source. ``attention(params, batch)`` is the weight that the decoder gives to each token of the
    source when it predicts the token after each one of ``target_in``.
    """

    model: Model
    translate: Callable[[Variables, Batch], Int[Array, "batch time"]]
    attention: Callable[[PyTree, Batch], Float[Array, "batch time source"]]


@runtime_checkable
class EncoderDecoder(Protocol):
    """Options of a network that :func:`translator` wraps."""

    def build(self, *, source_vocab: int, target_vocab: int, length: int, beam: Beam) -> Translator:
        """The translator whose targets have at most ``length`` tokens."""


def translator(module: nn.Module, *, partition: Rules, length: int, beam: Beam) -> Translator:
    """Wrap an encoder-decoder.

    Args:
        module: ``module(source, source_length, target_in, train=bool)`` returns logits.
            ``start(source, source_length, hypotheses=n)`` returns the encoded source and the
            state of ``n`` hypotheses for each source, ``decode_step(encoded, tokens, position,
            state)`` the next logits and state, and ``attention(source, source_length,
            target_in)`` the attention weights.
        partition: rules that cover every parameter.
        length: largest number of tokens of a translation, its end included.
        beam: options of the beam search.
    """
    model = linen.model(module, inputs=INPUTS, partition=partition)
    model = scored(model, targets="target_out")

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[Translation, Variables]:
        logits, updates = model.apply(variables, batch, train=train, key=key)
        predicted = None if train else translate(variables, batch)
        return Translation(logits, predicted), updates

    def translate(variables: Variables, batch: Batch) -> Int[Array, "batch time"]:
        source, source_length = (jnp.asarray(batch[name]) for name in INPUTS[:2])
        call = partial(module.apply, widened(variables))
        encoded, state = call(source, source_length, hypotheses=beam.size, method="start")
        return search(
            partial(call, encoded, method="decode_step"),
            state,
            batch=source.shape[0],
            length=length,
            beam=beam,
        ).tokens

    def attention(params: PyTree, batch: Batch) -> Float[Array, "batch time source"]:
        arrays = [jnp.asarray(batch[name]) for name in INPUTS]
        found = module.apply({"params": widened(params)}, *arrays, method="attention")
        return cast("Array", found)

    return Translator(model._replace(apply=apply), translate, attention)
