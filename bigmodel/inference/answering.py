"""From a stream of inputs to a stream of answers, in batches of one shape."""

from __future__ import annotations

import contextlib
import gc
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bigmodel.experiment import Batch, InputError, PyTree
from bigmodel.predictor import Predictor

BATCH = 64
SOON = 0.05
"""Seconds for which outputs of batches may wait to be decoded together."""
SMALL = 1 << 20
"""Bytes that they may have."""
ITS_OWN = 1000
"""Objects that Python freezes itself are fewer: 375 in 3.12."""


class Named(NamedTuple):
    """An input, and where it is from, for messages."""

    value: Any
    name: str


def answers(
    predictor: Predictor,
    apply: Callable[[Batch], PyTree],
    inputs: Iterable[Any],
    *,
    batch_size: int = BATCH,
) -> Iterator[Any]:
    """The answer to each input, in order; two batches are in memory, and a few small outputs.

    A batch is encoded on the host while the device works on the one before. Outputs of quick ones
    are decoded together, while the code for it is in the caches.

    Args:
        predictor: encodes and decodes.
        apply: its ``apply``, compiled, on the variables.
        inputs: each as ``encode`` takes it, or :class:`Named`.
        batch_size: inputs in a batch. The last one is filled up, so that nothing is compiled
            for it.

    Raises:
        InputError: an input cannot be used; the message says which.
    """
    if batch_size < 1:
        raise InputError(f"a batch of {batch_size} is too small; use 1 or more")
    with spared():
        waiting: list[tuple[PyTree, int]] = []
        due = time.monotonic() + SOON
        numbered = enumerate(inputs, start=1)
        while chunk := list(itertools.islice(numbered, batch_size)):
            named = [
                each if isinstance(each, Named) else Named(each, f"input {n}") for n, each in chunk
            ]
            # A stream that ends with its first batch is computed in a smaller one.
            few = not waiting and len(named) < batch_size
            rows = min(batch_size, 1 << (len(named) - 1).bit_length()) if few else batch_size
            outputs = apply(filled(encode(predictor, named), rows))
            waiting.append((outputs, len(named)))
            held = len(waiting) * sum(leaf.nbytes for leaf in jax.tree.leaves(outputs))
            if held > SMALL or time.monotonic() > due:
                for each in waiting[:-1]:
                    yield from decoded(predictor, *each)
                del waiting[:-1]
                due = time.monotonic() + SOON
        for each in waiting:
            yield from decoded(predictor, *each)


@contextlib.contextmanager
def spared() -> Iterator[None]:
    """Inside, collections of garbage spare what is there already.

    Answers are many small objects, and collections that follow would go through all of JAX's.
    """
    # Whoever has frozen objects keeps them so.
    if gc.get_freeze_count() > ITS_OWN:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def encode(predictor: Predictor, inputs: Sequence[Named]) -> Batch:
    """The arrays of some inputs.

    Raises:
        InputError: naming the first that cannot be used.
    """
    try:
        return predictor.encode([each.value for each in inputs])
    except InputError:
        for each in inputs:
            try:
                predictor.encode([each.value])
            except InputError as error:
                raise InputError(f"{each.name}: {error}") from None
        raise


def filled(batch: Batch, rows: int) -> Batch:
    """The batch with its first row repeated at the end, up to so many rows."""

    def fill(array: np.ndarray) -> np.ndarray:
        missing = rows - len(array)
        return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing else array

    return {name: fill(np.asarray(array)) for name, array in batch.items()}


def decoded(predictor: Predictor, outputs: PyTree, rows: int) -> list[Any]:
    """The answers of the first rows of outputs that may still be on their way."""
    on_host = jax.device_get(outputs)
    return predictor.decode(jax.tree.map(lambda array: array[:rows], on_host))
