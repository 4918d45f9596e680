"""Objects without a ground, to compose scenes of: handwritten digits, and stamps of Tux Paint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bigmodel.data.images.reading import DECODING_ERRORS
from bigmodel.data.packaged import packaged, read_digits
from bigmodel.experiment import InputError

STAMPS = Path("/usr/share/tuxpaint/stamps")  # the Debian package tuxpaint-stamps-default
STAMP_CLASSES = {
    "animal": ("animals",),
    "food": ("food",),
    "house": ("town/houses",),
    "letter": ("symbols/alphabets",),
    "plant": ("plants",),
    "vehicle": ("vehicles",),
}
"""Folders of stamps by the class of what is in them."""
PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
"""Photographs that the package scikit-image brings, in colour or grey."""
STAMP_PIXELS = 96
PHOTOGRAPH_PIXELS = 384


class Cutout(NamedTuple):
    """An object: its pixels, whose last channel is their opacity, and its class, from 1 on."""

    pixels: UInt8[np.ndarray, "height width channels_and_opacity"]
    label: int


class Material(NamedTuple):
    """What scenes are made of: objects, grounds (none: noise), and the classes' names from 1 on."""

    cutouts: Sequence[Cutout]
    grounds: Sequence[UInt8[np.ndarray, "height width channels"]]
    names: tuple[str, ...]
    mirrored: bool


def digit_material() -> Material:
    """The 1,797 digits that scikit-learn brings, as white ink."""
    table = read_digits()
    ink = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    pixels = np.stack([np.full_like(ink, 255), ink], axis=-1)
    cutouts = [
        Cutout(each, int(digit) + 1) for each, digit in zip(pixels, table[:, -1], strict=True)
    ]
    return Material(cutouts, (), tuple(str(digit) for digit in range(10)), mirrored=False)


@lru_cache(maxsize=1)
def stamp_material(path: str = "") -> Material:
    """Stamps in colour, in the order of their names, before photographs of scikit-image.

    Raises:
        InputError: The stamps or the photographs are not installed, or one cannot be read.
    """
    folder = Path(path) if path else STAMPS
    cutouts = []
    for label, (name, places) in enumerate(STAMP_CLASSES.items(), start=1):
        files = [file for place in places for file in sorted((folder / place).rglob("*.png"))]
        if not files:
            raise InputError(
                f"{folder} has no stamps of the class {name!r}; apt install tuxpaint-stamps-default"
                " brings them, or give their folder as --data.path"
            )
        cutouts += [Cutout(_opened(file, "RGBA", STAMP_PIXELS), label) for file in files]
    grounds = [_opened(_photograph(name), "RGB", PHOTOGRAPH_PIXELS) for name in PHOTOGRAPHS]
    return Material(cutouts, grounds, tuple(STAMP_CLASSES), mirrored=True)


def _photograph(name: str) -> Path:
    try:
        return packaged("skimage", f"data/{name}")
    except InputError as error:
        raise InputError(
            f"stamps lie before photographs of scikit-image; pip install scikit-image: {error}"
        ) from None


def _opened(file: Path, mode: str, most: int) -> UInt8[np.ndarray, "height width channel"]:
    """The pixels of an image, made smaller until neither side is longer than ``most``."""
    try:
        with Image.open(file) as image:
            converted = image.convert(mode)
    except DECODING_ERRORS as error:
        raise InputError(f"{os.fspath(file)} cannot be read as an image: {error}") from None
    converted.thumbnail((most, most), Image.Resampling.BOX)
    return np.asarray(converted)
