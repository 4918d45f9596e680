"""A folder of images, one subfolder a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image, ImageOps

from bigmodel.experiment import InputError


def read_folder(
    path: Path, *, size: int, mode: str
) -> tuple[
    UInt8[np.ndarray, "rows size size channel"], Int32[np.ndarray, " rows"], tuple[str, ...]
]:
    """Decode all images of a folder once, in the order of their names.

    Args:
        path: The folder. Its subfolders are the classes; images may lie at any depth below.
            Names that start with a dot are left out.
        size: Images are resized to `size` by `size` pixels, whatever their shape.
        mode: ``L`` for grey, ``RGB`` for colour.

    Returns:
        The images, their classes as numbers, and the names of the classes.

    Raises:
        InputError: If there are not two classes, a class has no image, or a file is no image.
    """
    if not path.is_dir():
        raise InputError(f"--data.path {path} is no folder")
    classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        found = f"only {classes[0].name!r}" if classes else "none"
        raise InputError(f"--data.path {path} needs a subfolder for each class; it has {found}")
    images, labels = [], []
    for label, folder in enumerate(classes):
        files = _files(folder)
        if not files:
            raise InputError(f"--data.path {path}: the class {folder.name!r} has no images")
        images += [_decode(file, size=size, mode=mode) for file in files]
        labels += [label] * len(files)
    return np.stack(images), np.asarray(labels, np.int32), tuple(p.name for p in classes)


def _files(folder: Path) -> list[Path]:
    below = (p for p in folder.rglob("*") if p.is_file())
    return sorted(
        p for p in below if not any(n.startswith(".") for n in p.relative_to(folder).parts)
    )


def _decode(path: Path, *, size: int, mode: str) -> UInt8[np.ndarray, "size size channel"]:
    try:
        with Image.open(path) as image:
            # Lets the JPEG decoder skip detail that resizing would throw away.
            image.draft(mode, (2 * size, 2 * size))
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                # Pillow would clip 16 bits to 8 rather than scale them.
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            pixels = upright.convert(mode).resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read {path} as an image: {error}") from error
    return np.asarray(pixels, np.uint8).reshape(size, size, -1)
