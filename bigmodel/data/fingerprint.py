"""A digest of data, by which a run is recognised to have the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np


def fingerprint(
    arrays: Mapping[str, np.ndarray], assets: Mapping[str, bytes] = MappingProxyType({})
) -> str:
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
