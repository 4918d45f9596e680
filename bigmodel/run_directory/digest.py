"""One number for all parameters of a run."""

from __future__ import annotations

import hashlib

import numpy as np

from bigmodel.experiment import PyTree
from bigmodel.processes.distributed import fetch
from bigmodel.tree import named_leaves


def params_digest(params: PyTree) -> str:
    """The sha256 over the parameters' paths, dtypes, shapes and bytes, in the order of paths."""
    digest = hashlib.sha256()
    for path, leaf in sorted(named_leaves(params).items()):
        array = np.ascontiguousarray(fetch(leaf))
        digest.update(f"{path}\0{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
