"""Images that a trained generator draws, by class and seed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bigmodel.data.batches import Batches
from bigmodel.data.sequences.reading import numbers
from bigmodel.data.texts.reading import TextReader
from bigmodel.data.texts.tokenizers import UNKNOWN
from bigmodel.experiment import Array, Batch, Experiment, InputError, PyTree, Variables
from bigmodel.predictor import Kind, Predictor, Reader
from bigmodel.training.generative.latents import latents


class SampleReader(NamedTuple):
    """What is drawn: ``noise`` names the array that a generator begins with, of ``shape``.

    ``names`` are the classes; without any, the class does not matter.
    """

    names: tuple[str, ...]
    noise: str
    shape: tuple[int, ...]

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "sample"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        what = f"classes ({', '.join(self.names)})" if self.names else "anything"
        return f'{what}, or {{"class": NAME, "seed": NUMBER}}'

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """The noise float32 ``[batch, *shape]``, and ``label`` int32 ``[batch]``.

        An input is the name of a class, or a mapping with ``class``, and ``seed`` or the noise
        itself. The same input gives the same image.

        Raises:
            InputError: There is no such class, or the seed or the noise is none.
        """
        wishes = [each if isinstance(each, Mapping) else {"class": each} for each in inputs]
        return {
            self.noise: np.stack([self._noise(wish) for wish in wishes]),
            "label": np.array([self._label(wish.get("class")) for wish in wishes], np.int32),
        }

    def wish(self, batch: Batch, row: int) -> dict[str, Any]:
        """The input that gives the noise and the class of a row of a batch."""
        named = {"class": self.names[batch["label"][row]]} if self.names else {}
        return {**named, self.noise: batch[self.noise][row]}

    def _noise(self, wish: Mapping[str, Any]) -> np.ndarray:
        if self.noise in wish:
            noise = numbers(wish[self.noise]).astype(np.float32)
            if noise.shape != self.shape:
                raise InputError(f"{self.noise!r} has the shape {noise.shape}, not {self.shape}")
            return noise
        return latents(1, self.shape, stream="sample", index=seed_of(wish, below=2**63))[0]

    def _label(self, name: Any) -> int:
        if not self.names:
            return 0
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        if name not in self.names:
            raise InputError(
                f"there is no class {str(name)[:40]!r}; there are {', '.join(self.names[:20])}"
            )
        return self.names.index(name)


class TextSampleReader(NamedTuple):
    """What is drawn: an image of a text, and which of the many."""

    texts: TextReader

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "sample"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return f'{self.texts.inputs}, or {{"class": TEXT, "seed": NUMBER}}'

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``tokens`` and ``length`` of the texts, and ``seed`` uint32 ``[batch]``.

        Raises:
            InputError: An input is no text, or none of its words was in training, or the seed is
                none.
        """
        wishes = [each if isinstance(each, Mapping) else {"class": each} for each in inputs]
        found = self.texts.encode([wish.get("class") for wish in wishes])
        for wish, ids, length in zip(wishes, found["tokens"], found["length"], strict=True):
            known = self.texts.tokenizer.decode(ids[:length]).replace(UNKNOWN, "")
            if not known.strip():
                some = ", ".join(self.texts.names[:10])
                said = f"{wish['class'][:40]!r} has no word of those trained on, such as {some}"
                raise InputError(said)
        return {**found, "seed": np.array([seed_of(w, below=2**32) for w in wishes], np.uint32)}


def seed_of(wish: Mapping[str, Any], *, below: int) -> int:
    """The seed of an input; raises InputError where it is no number that can be one."""
    seed = wish.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < below:
        raise InputError(f"the seed {str(seed)[:40]!r} is no whole number from 0 to {below - 1}")
    return seed


def image_predictor(reader: Reader, generate: Callable[[Variables, Batch], Array]) -> Predictor:
    """A predictor that draws images.

    Args:
        reader: encodes what is wanted.
        generate: images with values in [0, 1], from variables and what ``reader`` encodes.
    """

    def decode(outputs: PyTree) -> list[Any]:
        return [{"image": as_bytes(image)} for image in np.asarray(outputs)]

    return Predictor(reader.encode, generate, decode, reader.kind, reader.inputs, "an image")


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as uint8."""
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def with_sample_inputs(experiment: Experiment, reader: SampleReader) -> Experiment:
    """The experiment, whose data says what to draw to get what its evaluations look at."""

    def inputs(batches: Sequence[Batch]) -> Batches:
        size = len(batches[0]["weight"])
        batch = functools.lru_cache(maxsize=1)(lambda index: batches[index])
        count = int(sum(each["weight"].sum() for each in batches))
        return Batches(count, lambda row: reader.wish(batch(row // size), row % size))

    data = experiment.data
    found = {split: inputs(batches) for split, batches in data.splits.items()}
    return experiment._replace(data=data._replace(inputs=found))
