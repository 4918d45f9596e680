"""The CMU dictionary: 125,000 English words with their pronunciations in 39 phonemes."""

from __future__ import annotations

import re

from bigmodel.data.packaged import packaged
from bigmodel.data.texts.text_file import read_lines

SPELLING = re.compile(r"([a-z']+)(?:\(\d+\))?")


def read_cmudict() -> dict[str, tuple[str, ...]]:
    """Each word and its pronunciations, the usual one first: ``{"hut": ("HH AH T",), ...}``.

    Words of other marks than letters and the apostrophe are left out, such as those with a
    digit or a point. Phonemes are without their stress, so that variants of a word that differ
    in stress alone are one.

    Raises:
        InputError: if the package ``cmudict`` is not installed.
    """
    words: dict[str, tuple[str, ...]] = {}
    for line in read_lines(packaged("cmudict", "data/cmudict.dict")):
        written, *phonemes = line.partition("#")[0].split()
        spelling = SPELLING.fullmatch(written)
        if spelling is None:
            continue
        word = spelling[1]
        spoken = " ".join(phoneme.rstrip("012") for phoneme in phonemes)
        known = words.get(word, ())
        words[word] = known if spoken in known else (*known, spoken)
    return words
