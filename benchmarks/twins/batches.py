"""The batch of a row: random numbers of the shapes that its networks read."""

from __future__ import annotations

from typing import Any

import numpy as np

CLASSES = 10
SIZE = 28


def batch(row: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays by the names that the project's models read, the same in every process."""
    rng = np.random.default_rng(0)
    count, kind = row["batch"], row["kind"]

    def tokens(length: int) -> np.ndarray:
        return rng.integers(0, row["vocab"], (count, length)).astype(np.int32)

    def lengths(length: int) -> np.ndarray:
        return np.full(count, length, np.int32)

    weight = np.ones(count, np.float32)
    label = rng.integers(0, CLASSES, count).astype(np.int32)
    if kind == "mlp":
        features = rng.normal(size=(count, SIZE * SIZE)).astype(np.float32)
        return {"features": features, "label": label, "weight": weight}
    if kind == "rnn":
        sequence = rng.normal(size=(count, SIZE, SIZE)).astype(np.float32)
        return {"sequence": sequence, "length": lengths(SIZE), "label": label, "weight": weight}
    if kind == "gpt":
        both = tokens(row["context"] + 1)
        every = np.ones((count, row["context"]), np.float32)
        return {"tokens": both[:, :-1], "targets": both[:, 1:], "weight": every}
    if kind == "bert":
        shape = (count, row["masks"])
        chosen = np.sort(rng.permuted(np.tile(np.arange(row["context"]), (count, 1)), axis=1))
        chosen = chosen[:, : row["masks"]].astype(np.int32)
        targets = rng.integers(0, row["vocab"], shape).astype(np.int32)
        read = {"tokens": tokens(row["context"]), "length": lengths(row["context"])}
        return {**read, "chosen": chosen, "targets": targets, "weight": np.ones(shape, np.float32)}
    if kind == "translation":
        source, both = tokens(row["context"]), tokens(row["context"] + 1)
        read = {"source": source, "source_length": lengths(row["context"])}
        target = {"target_in": both[:, :-1], "target_out": both[:, 1:]}
        return {**read, **target, "target_length": lengths(row["context"]), "weight": weight}
    image = rng.uniform(size=(count, SIZE, SIZE, 1)).astype(np.float32)
    return {"image": image, "label": label, "weight": weight}
