"""Tensors of safetensors files, each a view of the mapped file.

A file is the length of its header in 8 bytes, the header as JSON, and the bytes of the tensors.
Reading one executes nothing, and allocates nothing for what it claims.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.pretrained.config_file import read_json

SUFFIX = ".safetensors"
INDEX = "model.safetensors.index.json"
LONGEST = 100_000_000
"""Bytes of a header at most, as the format's own reader has it."""
TYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Tensors(NamedTuple):
    """Tensors by name, and the files that they are in."""

    by_name: dict[str, np.ndarray]
    files: tuple[Path, ...]


def read_folder(folder: Path) -> Tensors:
    """The tensors of ``model.safetensors``, of those that the index names, or of all there are.

    Raises:
        InputError: there are none, or a file is damaged or none of this format.
        StorageError: a file cannot be read.
    """
    if (folder / INDEX).exists():
        return _read_indexed(folder)
    files = sorted(folder.glob(f"*{SUFFIX}"))
    files = [file for file in files if file.stem == "model"] or files
    if not files:
        for file in sorted(folder.iterdir()):
            if file.suffix in PICKLED:
                raise pickled(file)
        raise InputError(f"{folder} has no *{SUFFIX} beside its config.json")
    found: dict[str, np.ndarray] = {}
    for file in files:
        tensors = read_safetensors(file)
        if twice := found.keys() & tensors.keys():
            raise InputError(f"{folder} has {min(twice)} in two files; keep one, or add {INDEX}")
        found |= tensors
    return Tensors(found, tuple(files))


def pickled(file: Path) -> InputError:
    """What is said of a file that could only be unpickled."""
    code = (
        "import torch; from safetensors.torch import save_file; "
        f"w = torch.load('{file.name}', weights_only=True); "
        "save_file({k: v.clone() for k, v in w.items()}, 'model.safetensors')"
    )
    return InputError(
        f"{file} is not read, for that would execute what is pickled in it; if you trust it, "
        f'convert it in its folder: python -c "{code}"'
    )


def _read_indexed(folder: Path) -> Tensors:
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise InputError(f"{folder / INDEX} has no weight_map")
    for name in places.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(SUFFIX):
            raise InputError(f"{folder / INDEX} names {str(name)[:60]!r}, no *{SUFFIX} beside it")
    files = {name: read_safetensors(folder / name) for name in sorted(set(places.values()))}
    for tensor, name in places.items():
        if tensor not in files[name]:
            raise InputError(f"{folder / name} has no {tensor}, which {INDEX} says it has")
    found = {tensor: files[name][tensor] for tensor, name in places.items()}
    return Tensors(found, (folder / INDEX, *(folder / name for name in files)))


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, as views of it.

    Raises:
        InputError: the file is truncated or damaged, or none of this format.
        StorageError: it cannot be read.
    """
    with naming(path, "read"), path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, LONGEST):
            raise _damaged(path, f"a header of {length} bytes in a file of {size}")
        text = file.read(length)
        mapped = np.asarray(np.memmap(file, np.uint8, "r"))
    body = mapped[8 + length :]
    end = 0
    found = {}
    for start, stop, name, dtype, shape in sorted(_entries(path, text)):
        if not (end <= start <= stop <= len(body)):
            raise _damaged(
                path, f"{name} is at {start} to {stop} of {len(body)} bytes, over others"
            )
        if stop - start != math.prod(shape) * np.dtype(TYPES[dtype]).itemsize:
            raise _damaged(path, f"{name} has {stop - start} bytes for {dtype} {list(shape)}")
        try:
            found[name] = body[start:stop].view(TYPES[dtype]).reshape(shape)
        except ValueError as error:  # Of an empty one with axes that NumPy does not have.
            raise _damaged(path, f"{name}: {error}") from None
        end = stop
    return found


def _entries(path: Path, text: bytes) -> list[tuple[int, int, str, str, tuple[int, ...]]]:
    """Begin, end, name, type and shape of each tensor, as a header claims them."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name twice")
        return dict(pairs)

    try:
        header = json.loads(text, object_pairs_hook=once)
        header.pop("__metadata__", None)
        found = []
        for name, entry in header.items():
            (start, stop), shape = entry["data_offsets"], entry["shape"]
            if not all(type(value) is int and value >= 0 for value in (start, stop, *shape)):
                raise ValueError(f"sizes of {name}")
            if entry["dtype"] not in TYPES:
                raise InputError(
                    f"{path}: {name} has the type {str(entry['dtype'])[:20]}, which is not read"
                )
            found.append((start, stop, name, entry["dtype"], tuple(shape)))
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be used ({str(error)[:60]})") from None
    return found


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is no whole safetensors file: {what[:200]}; fetch or write it again")
