"""Image files and arrays as the pixels that a network reads, by what a run knows of its images."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageOps

from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Kind

IMAGES = "images.json"
ORIENTATION = 0x0112
"""The EXIF tag of how a camera was held."""
TURNED = range(5, 9)
"""Values of it with which width and height change places."""
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    RuntimeError,
    struct.error,
    subprocess.SubprocessError,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise for damaged files."""

Pixels = UInt8[np.ndarray, "size size channel"] | Float32[np.ndarray, "size size channel"]


class Decoded(NamedTuple):
    """Pixels, as bytes or, of files with more than 8 bits, as their values."""

    pixels: Pixels
    animated: bool


class ImageReader(NamedTuple):
    """What a run knows of its images: ``names`` of classes, ``shape``, and how files are read.

    ``low`` and ``high`` are the values that become 0 and 1, of images with more than 8 bits.
    ``resize`` is the height and width that files are resized to, where it is not that of the
    shape: of a larger image the middle is read.
    """

    names: tuple[str, ...]
    shape: tuple[int, int, int]
    background: str = "white"
    low: float | None = None
    high: float | None = None
    resize: int | None = None

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "image"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        height, width, channels = self.shape
        return f"image files, or arrays of {height}x{width}x{channels} from 0 to 1, or bytes"

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``image`` float32 ``[batch, height, width, channel]`` in [0, 1].

        An input is the path of a file, the bytes of one, or an array ``[height, width]`` or
        ``[height, width, channel]``: uint8, or numbers from 0 to 1.

        Raises:
            InputError: An input is none of these.
        """
        files = [isinstance(each, str | Path | bytes) for each in inputs]
        dtypes = {getattr(each, "dtype", None) for each in inputs}
        if not any(files) and len(dtypes) == 1:
            return {"image": self._of_arrays(inputs)}
        images = [
            self._of_file(each) if is_file else self._of_arrays([each])
            for each, is_file in zip(inputs, files, strict=True)
        ]
        return {"image": np.concatenate(images)}

    def unit_range(self, pixels: np.ndarray) -> Float32[np.ndarray, "..."]:
        """Bytes, or the values of files with more than 8 bits, as float32 in [0, 1]."""
        if pixels.dtype == np.uint8:
            return pixels.astype(np.float32) / np.float32(255)
        if self.low is None or self.high is None:
            return np.ascontiguousarray(pixels)
        return np.clip((pixels - self.low) / (self.high - self.low), 0, 1)

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`image_reader` makes this."""
        kept = self._asdict()
        if self.resize is None:
            del kept["resize"]
        return {IMAGES: json.dumps(kept, indent=1).encode()}

    def _of_file(self, each: str | Path | bytes) -> np.ndarray:
        size, mode = self.resize or self.shape[0], _mode(self.shape)
        decoded = decode(each, size=size, mode=mode, background=self.background).pixels
        if decoded.dtype != np.uint8 and self.low is None:
            raise InputError("it has more than 8 bits a pixel, and the training images have 8")
        return self.unit_range(central(decoded[None], self.shape[:2]))

    def _of_arrays(self, inputs: Sequence[Any]) -> np.ndarray:
        """Of arrays that have the same dtype."""
        try:
            arrays = np.asarray(inputs)
        except ValueError:
            arrays = np.empty(0, object)
        if arrays.dtype.kind not in "uif":
            if len(inputs) > 1:
                return np.concatenate([self._of_arrays([each]) for each in inputs])
            raise InputError(f"it is no image: {_described(inputs[0])}")
        if arrays.ndim == 3:
            arrays = arrays[..., None]
        if arrays.shape[1:] != self.shape:
            shown = "x".join(map(str, arrays.shape[1:]))
            raise InputError(
                f"it is an array of {shown}, and the images of the run are "
                f"{'x'.join(map(str, self.shape))}; give it so, or as a file"
            )
        if arrays.dtype == np.uint8:
            return self.unit_range(arrays)
        # Comparisons are false where a number is none.
        if not ((arrays >= 0) & (arrays <= 1)).all():
            raise InputError("its numbers are not from 0 to 1; give these, or bytes as uint8")
        return arrays.astype(np.float32)


def image_reader(assets: Assets) -> ImageReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[IMAGES])
    return ImageReader(**{**kept, "names": tuple(kept["names"]), "shape": tuple(kept["shape"])})


def central(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The middle of images ``[..., height, width, channel]``, which has a shape."""
    left, top, right, bottom = box_of_centre(images.shape[-3:-1], shape)
    return images[..., top:bottom, left:right, :]


def box_of_centre(whole: Sequence[int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the middle of an image; sizes are height and width."""
    top, left = ((outer - inner) // 2 for outer, inner in zip(whole, shape, strict=True))
    return left, top, left + shape[1], top + shape[0]


def decode(
    source: str | Path | bytes, *, size: int, mode: Literal["L", "RGB"], background: str
) -> Decoded:
    """Decodes an image file and resizes it.

    Args:
        source: Its path, or its content.
        size: Height and width to resize to, whatever its shape.
        mode: ``L`` for grey, ``RGB`` for colour.
        background: The colour behind transparent pixels.

    Raises:
        InputError: It is no image, or it has pixels that are no numbers.
    """
    empty = not source if isinstance(source, bytes) else False
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            # Cameras store previews beside the main picture, which are not an animation.
            animated = getattr(image, "is_animated", False) and image.format != "MPO"
            # Lets the JPEG decoder skip detail that resizing would discard.
            image.draft(mode, (2 * size, 2 * size))
            upright = ImageOps.exif_transpose(image)
            if upright.mode[0] in "IF":
                # More than 8 bits, which Pillow would clip to 8 rather than scale.
                upright = Image.fromarray(np.asarray(upright, np.float32))
            else:
                if upright.has_transparency_data:
                    drawing = upright.convert("RGBA")
                    upright = Image.new("RGBA", drawing.size, background)
                    upright.alpha_composite(drawing)
                upright = upright.convert(mode)
            pixels = np.asarray(upright.resize((size, size), Image.Resampling.BILINEAR))
    except DECODING_ERRORS as error:
        if not isinstance(source, bytes) and os.path.isfile(source):
            empty = not os.path.getsize(source)
        reason = "it is empty" if empty else _reason(error)
        raise InputError(f"cannot be read as an image: {reason}") from error
    if pixels.dtype != np.uint8 and not np.isfinite(pixels).all():
        raise InputError("has pixels that are no finite numbers; fill them in first")
    pixels = pixels.reshape(size, size, -1)
    if pixels.shape[-1] < len(mode):
        pixels = np.repeat(pixels, len(mode), axis=-1)
    return Decoded(pixels, animated)


def upright_sides(source: str | Path | bytes) -> tuple[int, int]:
    """Width and height in pixels of an image file as it is to be looked at."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(ORIENTATION) in TURNED else (width, height)


def _mode(shape: tuple[int, int, int]) -> Literal["L", "RGB"]:
    return "L" if shape[2] == 1 else "RGB"


def _reason(error: BaseException) -> str:
    if isinstance(error, subprocess.SubprocessError):
        return "Ghostscript, which draws EPS, refuses it"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _described(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
