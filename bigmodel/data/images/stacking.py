"""Image files of 8 bits as one array, for data that keeps all of its images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from bigmodel.data.images.reading import decode
from bigmodel.data.images.threads import for_each
from bigmodel.data.prepared.threads import threads
from bigmodel.data.split import check_memory
from bigmodel.experiment import InputError


def stacked(
    files: Sequence[Path], *, size: int, mode: Literal["L", "RGB"], told: Sequence[str] = ()
) -> UInt8[np.ndarray, "file size size channel"]:
    """The pixels of files, resized to ``size`` by ``size``, white behind transparent ones.

    Args:
        files: their paths.
        size: height and width.
        mode: ``L`` for grey, ``RGB`` for colour.
        told: what messages call each, by default its path.

    Raises:
        InputError: one is no image, or has more than 8 bits a pixel, or all are too large for the
            memory.
    """
    shape = (len(files), size, size, len(mode))
    check_memory(f"{len(files)} images of {size}x{size} pixels", shape)
    pixels = np.empty(shape, np.uint8)

    def fill(number: int) -> None:
        name = told[number] if told else str(files[number])
        try:
            found = decode(files[number], size=size, mode=mode, background="white").pixels
        except InputError as error:
            raise InputError(f"{name} {error}") from error
        if found.dtype != np.uint8:
            raise InputError(f"{name} has more than 8 bits a pixel; save it with 8")
        pixels[number] = found

    for_each(fill, len(files), threads())
    return pixels
