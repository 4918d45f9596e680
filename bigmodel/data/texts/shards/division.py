"""The parts of a text that is read in pieces: training first, then validation, then test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from bigmodel.data.texts.shards.pieces import END, Piece

HELD_OUT = 1 << 22
"""Characters that a held-out part has at most: an evaluation reads all of it."""
SAMPLE = 1 << 25
"""Characters of the training part from which a BPE is learned at most."""
BLOCK = 1 << 19
"""Characters that are encoded at a time."""

Starts = Mapping[str, int]
"""Where the parts of a text begin, in characters, by their names and in their order."""


class Survey:
    """What one reading of a text learns: its length, its characters, and a sample of it.

    ``points`` are the code points that occur. The sample is of pieces at even distances, of which
    every other one is let go of when there are too many.
    """

    def __init__(self, sample: int = SAMPLE) -> None:
        self.length = 0
        self._most = sample
        self._seen = np.zeros(0x110000, bool)
        self._sample: list[tuple[int, str]] = []
        self._sampled, self._count, self._every = 0, 0, 1

    @property
    def characters(self) -> str:
        """All characters of the text in the order of Unicode."""
        return "".join(map(chr, np.flatnonzero(self._seen)))

    def add(self, text: str, *, characters: bool) -> None:
        """Reads one more piece; ``characters`` says whether to note those of it."""
        if characters:
            self._seen[np.frombuffer(text.replace(END, "").encode("utf-32-le"), "<u4")] = True
        if self._count % self._every == 0:
            self._sample.append((self.length, text))
            self._sampled += len(text)
            if self._sampled > self._most and len(self._sample) > 1:
                self._sample, self._every = self._sample[::2], self._every * 2
                self._sampled = sum(len(text) for _, text in self._sample)
        self._count += 1
        self.length += len(text)

    def sample(self, end: int) -> list[str]:
        """What lies before a character of the pieces of the sample, without the ends."""
        return [text[: end - at].replace(END, "\n") for at, text in self._sample if at < end]


def starts_of(length: int, *, validation: float, test: float) -> dict[str, int]:
    """Where the parts begin of a text of so many characters; one of fraction 0 is left out."""
    at_test = length - min(round(length * test), HELD_OUT)
    at_validation = at_test - min(round(length * validation), HELD_OUT)
    starts = {"train": 0}
    if validation:
        starts["validation"] = at_validation
    if test:
        starts["test"] = at_test
    return starts


def divided(pieces: Iterable[Piece], starts: Starts) -> Iterator[tuple[str, str]]:
    """Pieces with the part that each belongs to.

    A document belongs to the part in which it begins. Other text is cut at the first line end in
    the next part, or at its start where there is none.
    """
    names, bounds = list(starts), list(starts.values())
    at, now = 0, 0
    for piece in pieces:
        text = piece.text
        while text:
            while now + 1 < len(names) and at >= bounds[now + 1]:
                now += 1
            cut = len(text)
            if not piece.whole and now + 1 < len(names) and bounds[now + 1] < at + cut:
                into = bounds[now + 1] - at
                cut = text.find("\n", into - 1) + 1 or into
            yield names[now], text[:cut]
            at, text = at + cut, text[cut:]


def blocks(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Short texts of a part that follow one another put together, up to :data:`BLOCK`."""
    part, kept, size = "", list[str](), 0
    for name, text in texts:
        if kept and (name != part or size + len(text) > BLOCK):
            yield part, "".join(kept)
            kept, size = [], 0
        part = name
        kept.append(text)
        size += len(text)
    if kept:
        yield part, "".join(kept)
