"""The idx format of the MNIST family: a magic number, the dimensions, then unsigned bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from bigmodel.experiment import InputError


def read_idx(path: Path, *, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Read an idx file of unsigned bytes, gzipped if its name ends in ``.gz``.

    Raises:
        InputError: If the file cannot be read, has another magic number (which holds the
            type and the number of dimensions), or does not hold the bytes it promises.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {error}; is it complete?") from error
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, 8, dimensions])
    if content[:4] != magic or len(content) < header:
        raise InputError(
            f"{path} is no idx file of unsigned bytes with {dimensions} dimension(s): it starts "
            f"with 0x{content[:4].hex()} and holds {len(content)} bytes; expected 0x{magic.hex()}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise InputError(
            f"{path} is damaged: its header promises {math.prod(shape)} bytes of data, "
            f"it holds {len(content) - header}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
