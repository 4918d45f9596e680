"""Baselines that a language model has to beat: predictions from counts of tokens."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.experiment import Assets

Tokens = Int[np.ndarray, "tokens"]

COUNTED = "ngrams.json"


class Counted(NamedTuple):
    """The most frequent token of the training text, and what most often follows each."""

    often: int
    followers: Int[np.ndarray, "vocabulary"]

    def dump(self) -> dict[str, bytes]:
        """The file of a run from which :func:`counted` makes this."""
        kept = {"often": self.often, "followers": self.followers.tolist()}
        return {COUNTED: json.dumps(kept).encode()}


def count(tokens: Tokens, *, vocab_size: int) -> Counted:
    """What a training text says."""
    return Counted(most_frequent(tokens), likeliest_followers(tokens, vocab_size=vocab_size))


def counted(assets: Assets) -> Counted:
    """What a run has kept of its training text."""
    kept = json.loads(assets[COUNTED])
    return Counted(kept["often"], np.array(kept["followers"], np.int32))


def most_frequent(tokens: Tokens) -> int:
    """The most frequent token of a text, the first of them where several are."""
    return int(np.bincount(tokens).argmax())


def likeliest_followers(tokens: Tokens, *, vocab_size: int) -> Int[np.ndarray, "vocabulary"]:
    """What most often follows each token in a text; the most frequent token where nothing does."""
    pairs, counts = np.unique(
        tokens[:-1].astype(np.int64) * vocab_size + tokens[1:], return_counts=True
    )
    followers = np.full(vocab_size, most_frequent(tokens), np.int32)
    # Later ones overwrite those before them: rising counts, and among equals the first token last.
    order = np.lexsort((-pairs, counts))
    before, after = np.divmod(pairs[order], vocab_size)
    followers[before] = after
    return followers


def likeliest_between(tokens: Tokens) -> dict[tuple[int, int], int]:
    """What most often stands between two tokens in a text, the first of them where several do."""
    triples, counts = np.unique(
        np.stack([tokens[:-2], tokens[2:], tokens[1:-1]], axis=1), axis=0, return_counts=True
    )
    order = np.lexsort((-triples[:, 2], counts))
    return {(int(before), int(after)): int(token) for before, after, token in triples[order]}
