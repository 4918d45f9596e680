"""A network from sequence to sequence as a model that also translates when it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, cast

import flax.linen as nn
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Batch, Key, Model, PyTree, Rules, Variables
from bigmodel.models.texts.beam import Beam, search

INPUTS = ("source", "source_length", "target_in")


class Translation(NamedTuple):
    """What the model gives.

    ``logits`` are of what follows each token of the right target. ``predicted`` is the model's
    own translation, found by search; None while it is trained.
    """

    logits: Float[Array, "batch time vocabulary"]
    predicted: Int[Array, "batch time"] | None


class Translator(NamedTuple):
    """A model that translates, and where it looks.

    ``attention(params, batch)`` says for each token of ``target_in`` how much the decoder looks
    at each token of the source when it predicts what follows.
    """

    model: Model
    attention: Callable[[PyTree, Batch], Float[Array, "batch time source"]]


class EncoderDecoder(Protocol):
    """Options of a network that :func:`translator` wraps."""

    def build(self, *, source_vocab: int, target_vocab: int, length: int, beam: Beam) -> Translator:
        """The translator whose targets have at most ``length`` tokens."""


def translator(module: nn.Module, *, partition: Rules, length: int, beam: Beam) -> Translator:
    """Wrap an encoder-decoder.

    Args:
        module: is called as ``module(source, source_length, target_in, train=bool)`` and gives
            logits. ``begin(source, source_length, hypotheses=n)`` gives a memory and the state
            of ``n`` hypotheses for each source; ``step(memory, tokens, position, state)`` goes
            on by a token. ``attention(source, source_length, target_in)`` says where it looks.
        partition: rules that cover every parameter.
        length: most tokens of a translation, its end included.
        beam: how translations are searched for.
    """

    def init(key: Key, batch: Batch) -> Variables:
        return module.init({"params": key}, *(batch[name] for name in INPUTS), train=False)

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[Translation, Variables]:
        arrays = [batch[name] for name in INPUTS]
        random = {} if key is None else {"dropout": key}
        logits = cast("Array", module.apply(variables, *arrays, train=train, rngs=random))
        predicted = None if train else translate(variables, *arrays[:2])
        return Translation(logits, predicted), {}

    def translate(
        variables: Variables, source: Int[Array, "batch source"], source_length: Int[Array, "batch"]
    ) -> Int[Array, "batch time"]:
        call = partial(module.apply, variables)
        memory, state = call(source, source_length, hypotheses=beam.size, method="begin")
        return search(
            partial(call, memory, method="step"),
            state,
            batch=source.shape[0],
            length=length,
            beam=beam,
        ).tokens

    def attention(params: PyTree, batch: Batch) -> Float[Array, "batch time source"]:
        arrays = (batch[name] for name in INPUTS)
        return cast("Array", module.apply({"params": params}, *arrays, method="attention"))

    return Translator(Model(init, apply, partition), attention)
