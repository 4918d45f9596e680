"""The data of an experiment from arrays that are divided into parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from bigmodel.data.batches import Arrays, epochs, in_order, rows
from bigmodel.data.fingerprint import fingerprint
from bigmodel.experiment import Batch, Data

Prepare = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
Augment = Callable[[dict[str, np.ndarray], int, int], dict[str, np.ndarray]]
NOTHING: Mapping[str, bytes] = MappingProxyType({})


def data_of(
    parts: Mapping[str, Arrays],
    batch_size: int,
    *,
    prepare: Prepare = dict,
    augment: Augment | None = None,
    beside: Mapping[str, np.ndarray] = MappingProxyType({}),
    deciding: Mapping[str, bytes] = NOTHING,
    assets: Mapping[str, bytes] = NOTHING,
    digest: str | None = None,
) -> Data:
    """Shuffled epochs of the part ``train``, and the other parts in order where they have rows.

    Args:
        parts: arrays of ``train``, ``validation`` and ``test``, in the order of the splits.
        batch_size: rows in a batch.
        prepare: turns stored arrays into model inputs.
        augment: changes the stored arrays of a training batch, given its seed and step.
        beside: other arrays that the fingerprint covers.
        deciding: files that say what numbers in the arrays mean, which it covers as well.
        assets: files to keep with the results.
        digest: another fingerprint than that of the arrays and files.

    Raises:
        InputError: If not even one batch can be filled.
    """
    drawn = epochs(parts["train"], batch_size)
    if digest is None:
        named = {f"{part}/{name}": a for part, of in parts.items() for name, a in of.items()}
        digest = fingerprint({**named, **beside}, deciding)

    def train(seed: int, step: int) -> Batch:
        batch = drawn(seed, step)
        return prepare(augment(batch, seed, step) if augment else batch)

    return Data(
        train=train,
        splits={
            name: in_order(part, batch_size, prepare=prepare)
            for name, part in parts.items()
            if name != "train" and rows(part)
        },
        batch_size=batch_size,
        steps_per_epoch=rows(parts["train"]) // batch_size,
        fingerprint=digest,
        assets=assets,
    )
