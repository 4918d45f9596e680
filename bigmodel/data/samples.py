"""A few inputs that a run was tested with, so that it can show and try what it reads.

``assets/samples.json`` has them as whoever asks the run over HTTP writes them: a file or the
pixels of an image as base64, a list of words as a text, a clip as numbers from 0 to 1,
all else as the value itself.
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SAMPLES = "samples.json"
COUNT = 4
LONGEST = 200_000
"""Characters of one sample; what is longer is left out."""


def dump_samples(inputs: Mapping[str, Sequence[Any]]) -> bytes:
    """The content of ``samples.json``: the first inputs of the last split, which is the test's.

    One that JSON cannot express is left out, for no sample may end a training.
    """
    split: Sequence[Any] = next(reversed([*inputs.values()]), ())
    lines = []
    for each in itertools.islice(split, COUNT):
        with contextlib.suppress(TypeError, ValueError):
            plain = _plain(each)
            if isinstance(plain, list) and all(isinstance(word, str) for word in plain):
                plain = " ".join(plain)
            lines.append(json.dumps(plain))
    return f"[{','.join(line for line in lines if len(line) <= LONGEST)}]".encode()


def png(pixels: np.ndarray) -> str:
    """An image as base64 of a PNG file.

    Args:
        pixels: uint8 ``[height, width]`` or ``[height, width, channel]``, of 1, 3 or 4 channels.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1:] == (1,) else pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _plain(value: Any) -> Any:
    match value:
        case np.ndarray() if value.dtype == np.uint8 and value.ndim == 4:
            return np.round(value / 255, 3).tolist()  # a clip; three digits tell all bytes apart
        case np.ndarray() if value.dtype == np.uint8 and value.ndim > 1:
            return png(value)
        case np.ndarray() | np.generic():
            return value.tolist()
        case Path():
            return base64.b64encode(value.read_bytes()).decode()
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return {name: _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return value
