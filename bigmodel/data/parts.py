"""The data of an experiment from arrays in parts, and a digest by which it is recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from bigmodel.data.batches import Arrays, Prepare, epochs, in_order, rows
from bigmodel.data.poisson import Poisson, poisson
from bigmodel.experiment import WHOLE, Batch, Data, InputError, Train

Augment = Callable[[dict[str, np.ndarray], int, int, slice, int], dict[str, np.ndarray]]
NOTHING: Mapping[str, bytes] = MappingProxyType({})


def fingerprint(arrays: Mapping[str, np.ndarray], assets: Mapping[str, bytes] = NOTHING) -> str:
    """Returns the sha256 of all that an experiment sees of its data, in any order.

    It is computed at every start and never cached: with SHA instructions it takes 0.04 s for
    Fashion-MNIST, which is read in 0.4 s, and 0.3 s for 100 MB of text as ids, read in 3 s.

    Args:
        arrays: their names, dtypes, shapes and bytes count.
        assets: files that determine what numbers in the arrays mean, such as a tokenizer.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.data)
    for name in sorted(assets):
        digest.update(f"{name}\0asset\0{len(assets[name])}\0".encode())
        digest.update(assets[name])
    return digest.hexdigest()


def names_of_numbers(*names: Sequence[str], own: bool) -> dict[str, bytes]:
    """Names of what numbers stand for, for a fingerprint; those of files of one's ``own`` alone.

    Names of data that packages bring never change.
    """
    return {"names": json.dumps(names, ensure_ascii=False).encode()} if own else {}


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
    shared: str = "",
) -> Data:
    """Shuffled epochs of the part ``train``, and the other parts in order where they have rows.

    Args:
        parts: arrays of ``train``, ``validation`` and ``test``, in the order of the splits.
        batch_size: rows in a batch.
        prepare: turns stored arrays into model inputs.
        augment: changes the stored arrays of rows of a training batch, given its seed and step,
            which rows they are, and how many it has.
        beside: other arrays that the fingerprint covers.
        deciding: files that say what numbers in the arrays mean, which it covers as well.
        assets: files to keep with the results.
        digest: another fingerprint than that of the arrays and files.
        shared: why an example cannot be protected by itself, where it cannot.

    Raises:
        InputError: If not even one batch can be filled.
    """
    if digest is None:
        named = {f"{part}/{name}": a for part, of in parts.items() for name, a in of.items()}
        digest = fingerprint({**named, **beside}, deciding)

    def training(drawn: Train, size: int) -> Train:
        def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
            batch = dict(drawn(seed, step, rows))
            return prepare(augment(batch, seed, step, rows, size) if augment else batch)

        return train

    def sampled(how: Poisson) -> Train:
        if shared:
            raise InputError(f"--privacy.epsilon protects examples one by one, and {shared}")
        return training(poisson(parts["train"], how), how.size)

    return Data(
        train=training(epochs(parts["train"], batch_size), batch_size),
        splits={
            name: in_order(part, batch_size, prepare=prepare)
            for name, part in parts.items()
            if name != "train" and rows(part)
        },
        batch_size=batch_size,
        steps_per_epoch=rows(parts["train"]) // batch_size,
        fingerprint=digest,
        assets=assets,
        seen=in_order(parts["train"], batch_size, prepare=prepare),
        examples=rows(parts["train"]),
        sampled=sampled,
    )
