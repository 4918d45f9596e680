"""What of an input a trained run's answer is due to.

run.explain("a.png", method="integrated_gradients").values
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import numpy as np

from bigmodel.data.videos.reading import CLIPS
from bigmodel.experiment import Array, Batch, InputError, Variables
from bigmodel.inference.answering import Named, encode
from bigmodel.inference.explanation import methods
from bigmodel.inference.explanation.network import Network, Read, arrays_of, read_network
from bigmodel.inference.explanation.spreading import spread_map, spread_positions, windows
from bigmodel.inference.explanation.units import Units, units_of
from bigmodel.inference.value import Value
from bigmodel.predictor import Kind

Method: TypeAlias = Literal[
    "gradients", "smoothgrad", "integrated_gradients", "grad_cam", "rollout", "occlusion"
]
METHODS: tuple[Method, ...] = get_args(Method)
SIGNED = ("integrated_gradients", "occlusion")
"""Methods by which a unit may speak against the output; by others it has more or less weight."""
BASELINES: Mapping[Kind, float] = {"sound": -2.0, "frames": 0.5}
"""Where it is not 0: near that the norms after convolutions without biases are steep."""
MOST = 10_000
"""Nodes of an integral, and noisy inputs."""


@dataclass(frozen=True)
class How:
    """The method of an explanation, and the options of the methods."""

    method: Method = "integrated_gradients"
    """which one"""
    label: str | None = None
    """what is explained: the name of a class, a token, a label; by default what is predicted"""
    position: int | None = None
    """of a prediction for each mask or word: which, from 1 on; the first unless told"""
    baseline: float | None = None
    """integrated gradients, occlusion: the number that stands for nothing: of images 0 is black,
    of standardised numbers 0 is their mean; of tokens it is the mean vector of the vocabulary. By
    default 0, of sounds -2, which is quiet, and of clips 0.5, grey"""
    steps: int = 50
    """integrated gradients: nodes of the integral"""
    samples: int = 32
    """smoothgrad: number of noisy inputs"""
    noise: float = 0.15
    """smoothgrad: standard deviation of the noise, as a share of the range of what is read"""
    seed: int = 0
    """smoothgrad: seed of the noise"""
    window: int | None = None
    """occlusion: side of what is hidden at once, in pixels or steps; by default a seventh"""
    layer: str | None = None
    """grad_cam: path of the layer; by default the last one of the size of the last convolution"""

    def __post_init__(self) -> None:
        """Raises InputError for what no method takes."""
        if self.method not in METHODS:
            raise InputError(f"there is no method {self.method!r}; use {', '.join(METHODS)}")
        for name in ("steps", "samples", "window", "position"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"--{name} {value} is too small; use 1 or more")
        for name in ("steps", "samples"):
            if (value := getattr(self, name)) > MOST:
                raise InputError(f"--{name} {value} is too many; use up to {MOST}")
        if not 0 <= self.noise < math.inf:
            raise InputError(f"--noise {self.noise} must be 0 or more; 0.15 is usual")
        if not math.isfinite(self.baseline or 0):
            raise InputError(f"--baseline {self.baseline} must be a number; 0 is usual")


class Question(NamedTuple):
    """One output of a network for one input, which an explanation is of."""

    read: Read
    batch: Batch
    units: Units
    target: int
    baseline: float

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What methods take after the variables."""
        return self.batch, np.int32(self.target)

    def scores(self, variables: Variables, masks: np.ndarray) -> np.ndarray:
        """The output, and its log probability, where units are kept: ``[masks, 2]``.

        ``masks`` is ``[masks, units]``, 0 where a unit is at the baseline.
        """
        found = methods.kept_scores(
            self.read.network,
            variables,
            *self.arguments,
            self.units.of,
            masks=np.asarray(masks, np.float32),
            baseline=np.float32(self.baseline),
        )
        return np.asarray(found, np.float64)


class Explanation(NamedTuple):
    """What of an input an output is due to.

    ``output`` is what is explained: a class, a token, a label, or the column of a number.
    ``score`` is its logit, or the number in its units, and ``probability`` None of a number.
    ``values`` are those of the units, in the shape of :class:`Units`; where they are not
    ``signed``, none is below 0. ``numbers`` are those of every number that the network reads, or of
    a layer, before they are put together.

    Integrated gradients ought to add up to ``difference``, the score less that of the baseline,
    and lack ``gap`` of it. Both are None for other methods.
    """

    how: How
    output: str
    score: float
    probability: float | None
    units: Units
    values: np.ndarray
    numbers: np.ndarray
    question: Question
    difference: float | None = None
    gap: float | None = None

    @property
    def signed(self) -> bool:
        """Whether a unit may speak against the output."""
        return self.how.method in SIGNED


def explanations(
    run: Value, inputs: Iterable[Named], how: How
) -> Iterator[tuple[str, Explanation]]:
    """The name of each input, and an explanation of what a run answers to it.

    Raises:
        InputError: an input cannot be used, or the network does not support the method; those that
            it supports are named.
    """
    for each in inputs:
        yield each.name, explain(ask(run, each, how), run.variables, how)


def ask(run: Value, each: Named, how: How) -> Question:
    """What is to be explained of a run's answer to an input.

    Raises:
        InputError: as for :func:`explanations`.
    """
    try:
        return _ask(run, each, how)
    except InputError as error:
        said = str(error)
        known = said.startswith(("--", each.name, str(run.path)))
        raise InputError(said if known else f"{each.name}: {said}") from None


def _ask(run: Value, each: Named, how: How) -> Question:
    batch = arrays_of(run, encode(run.predictor, [each]))
    shapes = tuple((name, np.shape(array)) for name, array in sorted(batch.items()))
    if shapes not in run.networks:
        run.networks[shapes] = read_network(run, batch)
    read: Read = run.networks[shapes]
    able = supported(read)
    if how.method not in able:
        needs = {"grad_cam": "a convolution", "rollout": "self-attention"}[how.method]
        raise InputError(
            f"{run.path} has no {needs.removeprefix('a ')} that {how.method} can read; it supports "
            f"{', '.join(able)}"
        )
    batch = _with_position(batch, how.position)
    kind = run.predictor.kind
    units = units_of(kind, batch, run.assets, each.value, width=read.width)
    if how.label is not None and read.find is None:
        raise InputError(f"--class {how.label}: {run.path} predicts a number, not a class")
    baseline = BASELINES.get(kind, 0.0) if how.baseline is None else how.baseline
    question = Question(read, batch, units, 0, baseline)
    if how.label is not None and read.find is not None:
        return question._replace(target=read.find(how.label))
    logits = _logits(read.network, run.variables, batch)
    return question._replace(target=int(np.argmax(logits)))


def _with_position(batch: Batch, position: int | None) -> Batch:
    """With the position of the outputs that is meant, where they have one for each mask or word."""
    if "chosen" not in batch:
        if position is not None:
            raise InputError("--position is for predictions of several masks or words")
        return batch
    count = int(batch["words"][0] if "words" in batch else batch["weight"][0].sum())
    if (position or 1) > count:
        raise InputError(f"--position {position} is more than the {count} that are predicted")
    return {**batch, "position": np.int32((position or 1) - 1)}


@partial(jax.jit, static_argnums=0)
def _logits(network: Network, variables: Variables, batch: Batch) -> Array:
    return network.logits(variables, batch, lambda x: x)[0]


def supported(read: Read) -> tuple[Method, ...]:
    """The methods that a network supports."""
    without = {"grad_cam"} if cam_layer(read, None) is None else set()
    if not attentions(read):
        without.add("rollout")
    return tuple(method for method in METHODS if method not in without)


def attentions(read: Read) -> list[str]:
    """The paths of self-attention whose weights can be read, in order."""
    if read.network.features in ("features", "sequence"):
        return []
    return [
        path
        for path, layer in read.layers.items()
        if layer.kind == "self-attention" and not layer.inside
    ]


def cam_layer(read: Read, asked: str | None) -> str | None:
    """The layer for Grad-CAM: the last of those that give images of the last convolution's size.

    Convolutions that leave one pixel or step have no map; None where there is no other.

    Raises:
        InputError: the one that is asked for is not there.
    """
    network = read.network
    axes = {"image": 4, CLIPS: 4, "features": 0}.get(network.features, 3)
    maps = {
        path: layer
        for path, layer in read.layers.items()
        if len(layer.shape) == axes and max(layer.shape[1:-1], default=1) > 1 and not layer.inside
    }
    if asked is not None:
        if asked not in maps:
            raise InputError(f"--layer {asked} is none of those with a map: {', '.join(maps)}")
        return asked
    sizes = [layer.shape[1:-1] for layer in maps.values() if layer.kind == "convolution"]
    last = [path for path, layer in maps.items() if sizes and layer.shape[1:-1] == sizes[-1]]
    return last[-1] if last else None


def explain(question: Question, variables: Variables, how: How) -> Explanation:
    """The explanation of an output, for these variables."""
    read, units = question.read, question.units
    network, of = read.network, units.of
    given = (network, variables, *question.arguments)
    base = np.float32(question.baseline)
    match how.method:
        case "gradients":
            numbers = methods.gradients(*given, of)
        case "smoothgrad":
            key = jax.random.key(how.seed)
            more: dict[str, Any] = {"key": key, "noise": np.float32(how.noise)}
            numbers = methods.smoothgrad(*given, of, **more, samples=how.samples)
        case "integrated_gradients":
            numbers = methods.integrated_gradients(*given, of, baseline=base, steps=how.steps)
        case "grad_cam":
            layer = cam_layer(read, how.layer)
            assert layer is not None
            numbers = methods.grad_cam(*given, layer=layer)
        case "rollout":
            numbers = methods.rollout(*given, last=attentions(read)[-1])
        case "occlusion":
            return _occluded(question, variables, how)
    numbers = np.asarray(numbers)
    match how.method:
        case "integrated_gradients":
            values = units.sums(numbers)
        case "grad_cam":
            values = spread_map(numbers, units, np.asarray(of).shape)
        case "rollout":
            values = spread_positions(numbers, units)
        case _:
            values = units.norms(numbers)
    ends = question.scores(variables, np.array([np.ones(units.size), np.zeros(units.size)]))
    found = _explanation(question, how, values, numbers, ends[0])
    if how.method != "integrated_gradients":
        return found
    difference = float(ends[0, 0] - ends[1, 0])
    return found._replace(difference=difference, gap=difference - float(values.sum()))


def _explanation(
    question: Question, how: How, values: np.ndarray, numbers: np.ndarray, score: np.ndarray
) -> Explanation:
    read = question.read
    return Explanation(
        how,
        read.names(question.target),
        float(score[0]),
        None if read.find is None else float(np.exp(score[1])),
        question.units,
        values,
        numbers,
        question,
    )


def _occluded(question: Question, variables: Variables, how: How) -> Explanation:
    """How much the output falls where windows of units are hidden (Zeiler and Fergus, 2014).

    A unit has the mean over the windows that hide it.
    """
    masks = windows(question.units, how.window)
    scores = question.scores(variables, np.concatenate([np.ones((1, masks.shape[1])), masks]))
    fall = scores[0, 0] - scores[1:, 0]
    hidden = 1 - masks
    values = (fall @ hidden / hidden.sum(axis=0)).reshape(question.units.shape)
    return _explanation(question, how, values, fall, scores[0])
