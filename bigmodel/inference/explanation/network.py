"""A trained network as what is explained: from an input's numbers to logits, or to a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.data.tagging.reading import TAGS, tag_reader
from bigmodel.data.texts.reading import read_tokenizer
from bigmodel.data.videos.reading import CLIPS
from bigmodel.experiment import Batch, InputError, PyTree, Variables
from bigmodel.inference.explanation.units import pieces
from bigmodel.inference.value import Value
from bigmodel.models.attention.moe import Routed
from bigmodel.models.taps import Apply, Change, Layer, layers, tapped
from bigmodel.nearest import nearest_option
from bigmodel.tree import named_leaves

NUMBERS = ("image", "features", "sequence", "spectrum", CLIPS)
"""Arrays of a batch that networks read as they are; tokens are read as vectors of an embedding."""


class Network(NamedTuple):
    """What computes the outputs, and where the numbers are that it reads.

    ``features`` names an array of the batch or, of texts, the path of the layer that makes vectors
    of the tokens. A regression's number is ``offset + scale * output``.
    """

    apply: Apply
    features: str
    offset: float = 0.0
    scale: float = 1.0

    @property
    def reads_tokens(self) -> bool:
        """Whether the numbers are what a layer gives."""
        return self.features not in NUMBERS

    def baseline(self, variables: Variables, number: Array) -> Array:
        """What stands for nothing: this number, or of tokens the mean vector of the vocabulary.

        Norms make a network steep near the vector of zeros, which no text has. Members of an
        ensemble have tables of their own, and there it is zero.
        """
        if not self.reads_tokens:
            return number
        table = named_leaves(variables["params"]).get(f"{self.features}/embedding")
        if table is None:
            return jnp.zeros((), jnp.float32)
        return jnp.asarray(table, jnp.float32).mean(axis=0)[None, None]

    def logits(
        self, variables: Variables, batch: Batch, change: Change, **taps: Any
    ) -> tuple[Float[Array, " outputs"], dict[str, Array], dict[str, Array]]:
        """The outputs for what ``change`` makes of the numbers that are read.

        Args:
            variables: the network's.
            batch: of one input; of an output for each position also ``position``, the one that is
                meant.
            change: of the numbers, ``[1, ...]``.
            taps: keywords of :func:`~bigmodel.models.taps.tapped`.

        Returns:
            A logit for each class or token, or one number; and the other fields of
            :class:`~bigmodel.models.taps.Tapped`.
        """
        changes: Mapping[str, Change] = taps.pop("changes", {})
        if self.reads_tokens:

            def of_tokens(vectors: Array) -> Array:
                # A vector that stands before each text is none of it.
                before = vectors.shape[1] - batch["tokens"].shape[1]
                own = change(vectors[:, before:])
                return jnp.concatenate([vectors[:, :before], own], axis=1)

            changes = {**changes, self.features: of_tokens}
        else:
            numbers = jnp.asarray(batch[self.features])
            batch = {**batch, self.features: change(numbers)}
        outputs, found, weights = tapped(self.apply, variables, batch, changes=changes, **taps)
        return self._chosen(outputs, batch), found, weights

    def _chosen(self, outputs: PyTree, batch: Batch) -> Float[Array, " outputs"]:
        found = outputs.logits if isinstance(outputs, Routed) else outputs
        if found.ndim == 1:
            return jnp.float32(self.offset) + jnp.float32(self.scale) * found.astype(jnp.float32)
        if found.ndim == 3:
            found = jnp.take(found, batch["position"], axis=1)
        return found[0].astype(jnp.float32)


class Read(NamedTuple):
    """A network, its layers, and the names of its outputs; None for a single number's.

    ``width`` is the number of features of a token.
    """

    network: Network
    layers: Mapping[str, Layer]
    names: Callable[[int], str]
    find: Callable[[str], int] | None
    width: int


def arrays_of(run: Value, encoded: Batch) -> Batch:
    """The arrays of one input as the network itself reads them, that of a prompt as its tokens.

    A text has no more padding than to the next power of two, so that there are few shapes.
    """
    batch = dict(encoded)
    if "rest" in batch and run.predictor.model is not None:
        tokens = np.concatenate([batch["tokens"], batch.pop("rest")], axis=1)
        batch = {"tokens": tokens, "length": batch["length"], "position": batch["length"][0] - 1}
    if "tokens" in batch and "length" in batch:
        most = 1 << int(batch["length"].max() - 1).bit_length()
        batch["tokens"] = batch["tokens"][:, :most]
    return batch


def apply_of(run: Value) -> Apply:
    """What computes a run's outputs: of those that choose among classes or tokens, the logits."""
    predictor = run.predictor
    if predictor.model is None:
        return predictor.apply
    return Evaluated(predictor.model.apply)


@dataclass(frozen=True)
class Evaluated:
    """A model's outputs in evaluation; it equals another one of the same, so is compiled once."""

    model: Callable[..., Any]

    def __call__(self, variables: Variables, batch: Batch) -> PyTree:
        """The outputs."""
        return self.model(variables, batch, train=False, key=None)[0]


def read_network(run: Value, batch: Batch) -> Read:
    """What is explained of a run.

    Args:
        run: whatever can be asked.
        batch: an input, as :func:`arrays_of` gives it.

    Raises:
        InputError: it answers neither a class or token nor a number.
    """
    apply, predictor = apply_of(run), run.predictor
    outputs = _shape(apply, run.variables, batch)
    found = layers(apply, run.variables, batch)
    name, width = next((name for name in NUMBERS if name in batch), ""), 0
    if "tokens" in batch:
        time = batch["tokens"].shape[1]
        vectors = (
            (path, layer.shape[2])
            for path, layer in found.items()
            if layer.kind == "embedding" and len(layer.shape) == 3 and layer.shape[1] >= time
        )
        name, width = next(vectors, ("", 0))
    if not name or len(outputs) == 0 or (predictor.model is None and outputs != (1,)):
        raise InputError(
            f"{run.path} answers {predictor.outputs}, and what is explained is a class, a token "
            "or a number"
        )
    if outputs == (1,):
        return _number(run, Network(apply, name), found, width)
    names, find = _classes(run, outputs[-1]) if len(outputs) == 2 else _tokens(run)
    return Read(Network(apply, name), found, names, find, width)


def _shape(apply: Apply, variables: Variables, batch: Batch) -> tuple[int, ...]:
    """The shape of the outputs; empty where they are several."""
    outputs = jax.eval_shape(apply, variables, batch)
    found = outputs.logits if isinstance(outputs, Routed) else outputs
    shape = getattr(found, "shape", ())
    return tuple(shape) if len(shape) <= 3 else ()


def _number(run: Value, network: Network, found: Mapping[str, Layer], width: int) -> Read:
    """A regression: its answers tell the name and the unit."""
    zero, one = run.predictor.decode(np.array([0, 1], np.float32))
    [(name, offset)] = zero.items()
    scaled = network._replace(offset=offset, scale=one[name] - offset)
    return Read(scaled, found, lambda _: name, None, width)


Naming = tuple[Callable[[int], str], Callable[[str], int]]


def _classes(run: Value, count: int) -> Naming:
    """The names of classes: those of an answer in which each is less likely than the one before."""
    [answer] = run.predictor.decode(np.arange(count, 0, -1, dtype=np.float32)[None])
    return _listed(list(answer["probabilities"]), "class")


def _listed(names: list[str], what: str) -> Naming:
    def find(name: str) -> int:
        if name not in names:
            some = ", ".join(map(str, names[:9])) + (", ..." if len(names) > 9 else "")
            near = nearest_option(name, list(map(str, names)))
            raise InputError(f"there is no {what} {name!r}; {near}there are {some}")
        return names.index(name)

    return lambda index: str(names[index]), find


def _tokens(run: Value) -> Naming:
    """The names of labels of words, or of tokens."""
    if TAGS in run.assets:
        return _listed(list(tag_reader(run.assets).labels), "label")
    tokenizer = read_tokenizer(run.assets)

    def find(text: str) -> int:
        ids = tokenizer.encode(text)
        if len(ids) != 1:
            raise InputError(
                f"{text!r} is {len(ids)} tokens of the run, and what is explained is one"
            )
        return int(ids[0])

    return lambda index: pieces(np.array([index], np.int32), tokenizer)[0], find
