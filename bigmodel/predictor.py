"""The contract between a trained experiment and what asks it: inputs to answers, without its data.

A script has ``predictor(config, assets)`` beside ``build(config)``, and both make what they share
by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from bigmodel.experiment import Batch, Model, PyTree, Variables

Kind: TypeAlias = Literal["image", "row", "text", "sequence", "series", "sample", "sound", "frames"]
"""What one input is: pixels or an image file; a row of a table; a text; a sequence of steps of
numbers; the numbers of a series so far; what to draw a sample of; samples or a file of
sound; or the frames of a clip, or their folder."""


class Predictor(NamedTuple):
    """What a trained experiment does with new inputs, made without the training data.

    ``encode`` turns inputs into arrays of a batch, on the host, a row for each; it raises
    InputError for one that it cannot use, and says which. ``apply`` is pure: it is what is
    jitted, exported and explained. ``decode`` turns its outputs into answers, one for each row:
    values that ``json.dumps`` takes, or images as uint8 arrays; what is ranked is a
    :class:`Ranked`, or the :class:`Best` of more. ``inputs`` and ``outputs`` are a line each, for
    help texts.

    ``stream``, of those that write a text, gives it for one input in pieces as they come: together
    they are the ``text`` of its answer. ``model``, of those that choose among classes or tokens,
    gives their logits for a batch: what a teacher shows to a student.
    """

    encode: Callable[[Sequence[Any]], Batch]
    apply: Callable[[Variables, Batch], PyTree]
    decode: Callable[[PyTree], list[Any]]
    kind: Kind
    inputs: str
    outputs: str
    stream: Callable[[Variables, Any], Iterator[str]] | None = None
    model: Model | None = None


@runtime_checkable
class Reader(Protocol):
    """What turns inputs into the arrays of a batch, as the training data was."""

    @property
    def kind(self) -> Kind:
        """What an input is."""

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""

    def encode(self, inputs: Sequence[Any]) -> Batch:
        """Arrays with a row for each input.

        Raises:
            InputError: for one that cannot be used.
        """


class Beginning(str):
    """A text of which the beginning counts, where it is longer than a model reads."""

    __slots__ = ()


class Ranked(dict[str, float]):
    """Scores by name, the best first; whoever asks for the first few gets these."""


class Best(Ranked):
    """The best of more than these, so that answers differ in the names that they have."""
