"""Pairs of texts from a file with tabs between columns, or from the CMU dictionary."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.packaged import packaged
from bigmodel.data.personal.masking import NO_MASK, Mask
from bigmodel.data.texts.text_file import normalized, read_lines
from bigmodel.experiment import InputError

SPELLING = re.compile(r"([a-z']+)(?:\(\d+\))?")


class Pair(NamedTuple):
    """A source, all its correct targets, and the group that it belongs to."""

    source: str
    targets: tuple[str, ...]
    group: str


def read_pairs(
    path: str, *, source: int, target: int, group: int | None, mask: Mask = NO_MASK
) -> list[Pair]:
    """The pairs of a file in the order of their first lines.

    Columns are counted from 1. Lines of one group with the same source are one pair with several
    targets. Texts are without blanks around them and in Unicode's normal form C. Blank lines do
    not count.

    Raises:
        InputError: the file cannot be read, or a line has too few columns or an empty text.
    """
    columns = {"source": source, "target": target} | ({} if group is None else {"group": group})
    needed = max(columns.values())
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for number, line in enumerate(map(mask, read_lines(Path(path))), start=1):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) < needed:
            raise InputError(
                f"{path}, line {number} has {len(fields)} column(s), and {needed} are needed: "
                "put a tab between columns, or choose others by --data.source and --data.target"
            )
        texts = {name: normalized(fields[column - 1]) for name, column in columns.items()}
        for name, text in texts.items():
            if not text:
                raise InputError(f"{path}, line {number} has no text in column {columns[name]}")
        key = (texts.get("group", ""), texts["source"])
        known = found.get(key, ())
        if texts["target"] not in known:
            found[key] = (*known, texts["target"])
    return [Pair(text, targets, name) for (name, text), targets in found.items()]


def held_out_groups(pairs: Sequence[Pair], names: Sequence[str]) -> Int[np.ndarray, "rows"]:
    """The row numbers of the pairs of these groups.

    Raises:
        InputError: a group has no pair.
    """
    groups = sorted({pair.group for pair in pairs})
    chosen = {normalized(name) for name in names}
    for name in sorted(chosen):
        if name not in groups:
            nearest = difflib.get_close_matches(name, groups, n=1, cutoff=0.0)[0]
            raise InputError(
                f"--data.held-out {name!r} is none of the {len(groups)} groups; "
                f"perhaps you meant {nearest!r}"
            )
    return np.array([row for row, pair in enumerate(pairs) if pair.group in chosen])


def read_cmudict() -> dict[str, tuple[str, ...]]:
    """Words and their pronunciations, the most common first: ``{"hut": ("HH AH T",), ...}``.

    Words with other characters than letters and the apostrophe are left out. Phonemes have no
    stress marks, so that pronunciations that differ only in stress are one.

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
