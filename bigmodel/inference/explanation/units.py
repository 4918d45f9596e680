"""The parts of an input that an explanation gives a number: pixels, tokens, columns, steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bigmodel.data.images.reading import image_reader
from bigmodel.data.tables.reading import TABLE, table_reader
from bigmodel.data.texts.reading import read_tokenizer
from bigmodel.data.texts.tokenizers import OF_BERT, Tokenizer
from bigmodel.data.videos.reading import CLIPS
from bigmodel.experiment import Assets, Batch
from bigmodel.predictor import Kind

MASK = "[MASK]"


class Units(NamedTuple):
    """The units of one input, and which of them each of the numbers is that a network reads.

    ``of`` has the shape of these numbers, a batch of one; those of no unit, such as padding, are
    -1. ``shape`` is that of the units: ``[row, column]`` of an image, ``[frame, row, column]`` of a
    clip, ``[token]``, ``[column]`` of a table, ``[step, channel]``, of a sound ``[step, band]``, or
    ``[step]`` of a series. ``names`` are those of tokens, columns, channels or bands, ``shown`` the
    values that a person knows them by, where there are any.
    """

    kind: Kind
    of: Int[np.ndarray, "1 ..."]
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    shown: Any = None

    @property
    def size(self) -> int:
        """How many there are."""
        return int(np.prod(self.shape))

    def sums(self, values: np.ndarray) -> Float[np.ndarray, "..."]:
        """What the numbers of each unit add up to."""
        numbered = self.of.ravel() + 1
        weights = np.asarray(values, np.float64).ravel()
        return np.bincount(numbered, weights, self.size + 1)[1:].reshape(self.shape)

    def norms(self, values: np.ndarray) -> Float[np.ndarray, "..."]:
        """The Euclidean norm of the numbers of each unit."""
        return np.sqrt(self.sums(np.square(np.asarray(values, np.float64))))


def units_of(kind: Kind, batch: Batch, assets: Assets, given: Any, *, width: int = 0) -> Units:
    """The units of a batch of one.

    Args:
        kind: of the input.
        batch: its arrays; of a text without padding that is longer than twice the text.
        assets: what a run knows of its inputs.
        given: the input as the user has it.
        width: of a text, the number of features of a token.
    """
    if kind == "text":
        length = int(batch["length"][0])
        ids = np.asarray(batch["tokens"][0][:length])
        steps = np.arange(batch["tokens"].shape[1])
        of = np.where(steps < length, steps, -1)[None, :, None].repeat(width, axis=2)
        return Units(kind, of, (length,), tuple(pieces(ids, read_tokenizer(assets))))
    if kind == "row":
        return _columns(np.asarray(batch["features"][0]), assets, given)
    if kind == "image":
        pixels = np.asarray(batch["image" if "image" in batch else "sequence"])
        image = pixels if pixels.ndim == 4 else pixels.reshape(1, *image_reader(assets).shape)
        height, width, channels = image.shape[1:]
        of = np.arange(height * width).reshape(1, height, width, 1).repeat(channels, axis=3)
        return Units(kind, of.reshape(pixels.shape), (height, width), shown=image[0])
    if kind == "frames":
        video = np.asarray(batch[CLIPS])
        frames, height, width, channels = video.shape[1:]
        of = np.arange(frames * height * width).reshape(1, frames, height, width, 1)
        return Units(kind, of.repeat(channels, axis=4), (frames, height, width), shown=video[0])
    sequence = np.asarray(batch["spectrum" if kind == "sound" else "sequence"])
    _, time, channels = sequence.shape
    length = int(batch["length"][0])
    of = np.arange(time * channels).reshape(1, time, channels)
    of = np.where(of < length * channels, of, -1)
    shape = (length,) if kind == "series" else (length, channels)
    channel = "band" if kind == "sound" else "channel"
    names = tuple(f"{channel} {number}" for number in range(1, channels + 1))
    return Units(kind, of, shape, names, sequence[0, :length].reshape(shape))


def _columns(features: np.ndarray, assets: Assets, given: Any) -> Units:
    """The columns of a table, each of which may be several features."""
    if TABLE not in assets:
        names = tuple(f"feature {number}" for number in range(1, len(features) + 1))
        return Units("row", np.arange(len(names))[None], (len(names),), names)
    columns = table_reader(assets).encoder.columns
    counts = [len(column.features()) + column.told for column in columns]
    of = np.repeat(np.arange(len(columns)), counts)[None]
    names = tuple(column.name for column in columns)
    cells = given if isinstance(given, Mapping) else {}
    shown = [str(cells[name]) or "missing" if name in cells else "" for name in names]
    return Units("row", of, (len(names),), names, shown)


def pieces(ids: Int[np.ndarray, " tokens"], tokenizer: Tokenizer) -> list[str]:
    """The text of each token, as far as it can be told: together they are the text.

    A token that is no whole character is its number in angle brackets.
    """
    special = {id: OF_BERT[name] for name, id in tokenizer.special.items()}
    special[tokenizer.mask] = MASK
    found, start = [], 0
    for end in range(1, len(ids) + 1):
        token = int(ids[end - 1])
        if token in special:
            found.append(special[token])
            start = end
            continue
        before, whole = tokenizer.decode(ids[start : end - 1]), tokenizer.decode(ids[start:end])
        piece = whole.removeprefix(before) if whole.startswith(before) else ""
        if not piece or "\ufffd" in piece:
            piece = f"<{token}>"
        found.append(piece)
    return found
