"""What the layers of a trained run give for an input.

run.activations("a.png", "block_*")
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import jax
import numpy as np

from bigmodel.experiment import Array, Batch, InputError, Variables
from bigmodel.inference.answering import Named, encode
from bigmodel.inference.explanation.network import apply_of, arrays_of
from bigmodel.inference.value import Value
from bigmodel.models.taps import Apply, layers, tapped


def activations(run: Value, each: Any, pattern: str) -> dict[str, np.ndarray]:
    """What layers give for an input, by path; see :meth:`Value.activations`.

    Raises:
        InputError: the input cannot be used, or no layer is of the pattern.
    """
    batch = arrays_of(run, encode(run.predictor, [Named(each, "the input")]))
    apply = apply_of(run)
    known = layers(apply, run.variables, batch)
    wanted = [path for path in known if PurePosixPath(path).match(pattern)]
    if not wanted:
        some = ", ".join(list(known)[:12]) + (", ..." if len(known) > 12 else "")
        raise InputError(f"no layer of {run.path} is {pattern!r}; there are {some or 'none'}")
    if inside := [path for path in wanted if known[path].inside]:
        raise InputError(
            f"{inside[0]} of {run.path} is in a loop, in an ensemble, or computed again by "
            "--model.remat, and cannot be read there"
        )
    found = _layers(apply, tuple(wanted), run.variables, batch)
    return {path: np.asarray(found[path]) for path in wanted}


@partial(jax.jit, static_argnums=(0, 1))
def _layers(
    apply: Apply, wanted: tuple[str, ...], variables: Variables, batch: Batch
) -> Mapping[str, Array]:
    found = tapped(apply, variables, batch).layers
    return {path: found[path] for path in wanted}
