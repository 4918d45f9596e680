"""Folders of images, one subfolder a class."""

from __future__ import annotations

import difflib
import mimetypes
import os
import struct
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageOps

from bigmodel.data.batches import Arrays
from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import InputError
from bigmodel.output import note

NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
PARTS = {name: part for part, names in NAMES.items() for name in names}
"""Names of folders that hold a part of the data; their case does not matter."""
IGNORED = "__MACOSX"
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise for damaged files."""

Pixels = UInt8[np.ndarray, "size size channel"] | Float32[np.ndarray, "size size channel"]
Classes = Mapping[str, list[Path]]
"""The files of each class, by its name."""


class _Decoded(NamedTuple):
    pixels: Pixels
    path: Path
    animated: bool


def read_folders(
    path: Path,
    test_path: Path | None,
    *,
    size: int,
    mode: Literal["L", "RGB"],
    background: str,
) -> tuple[dict[str, Arrays], tuple[str, ...]]:
    """Decode all images once, in the order of their names.

    Args:
        path: The folder. Its subfolders are the classes, or they are ``train`` and perhaps
            ``val`` and ``test``, which contain the classes. Images may lie at any depth below a
            class; links are followed. Names that start with a dot are ignored.
        test_path: Another folder with a subfolder for each class.
        size: Images are resized to `size` by `size` pixels, whatever their shape.
        mode: ``L`` for grey, ``RGB`` for colour.
        background: The colour behind transparent pixels.

    Returns:
        ``image`` and ``label`` of ``train`` and of the other parts that have a folder, and the
        names of the classes. Images are uint8, or float32 with the values of the files where
        these have more than 8 bits.

    Raises:
        InputError: If there are fewer than two classes, a class has no images, a class of another
            part is missing in the training part, a file is not an image, or some images have 8
            bits a pixel and some have more.
    """
    folders = _part_folders(path)
    if test_path is not None:
        if len(folders) > 1:
            raise InputError(
                f"{path} has the parts {', '.join(folders)} itself; leave --data.test-path out, or "
                f"give --data.path {folders['train']}"
            )
        folders["test"] = test_path
    classes = {part: _classes(folder) for part, folder in folders.items()}
    names = tuple(sorted(classes["train"]))
    _check_classes(classes, folders)
    decode = partial(_decode, size=size, mode=mode, background=background)
    parts: dict[str, Arrays] = {}
    decoded: list[_Decoded] = []
    for part, files in classes.items():
        images = [decode(file) for name in names for file in files.get(name, ())]
        labels = [label for label, name in enumerate(names) for _ in files.get(name, ())]
        parts[part] = {
            "image": np.stack([image.pixels for image in images]),
            "label": np.asarray(labels, np.int32),
        }
        decoded += images
    _check_depth(decoded)
    if animated := [image.path for image in decoded if image.animated]:
        note(
            f"{len(animated)} images have several frames, such as {animated[0]}; only the first "
            "is read"
        )
    if len(parts) > 1:
        counts = (f"{part} {len(arrays['label'])}" for part, arrays in parts.items())
        note(f"{path} is split by its folders: {', '.join(counts)} images")
    return parts, names


def _part_folders(path: Path) -> dict[str, Path]:
    """The folder of each part; only ``train`` where the subfolders are classes."""
    below = [entry for entry in _entries(path) if entry.is_dir()]
    others = [folder for folder in below if folder.name.lower() not in PARTS]
    parts: dict[str, Path] = {}
    for folder in below:
        part = PARTS.get(folder.name.lower(), "")
        if part in parts and not others:
            raise InputError(
                f"{path} has two folders for {part}: {parts[part].name}, {folder.name}"
            )
        if not others or (part and any(entry.is_dir() for entry in _entries(folder))):
            parts[part] = folder
    if not below or (others and not ("train" in parts and len(parts) > 1)):
        return {"train": path}
    if others:
        raise InputError(
            f"{path} has folders of parts ({', '.join(p.name for p in parts.values())}) beside "
            f"{others[0].name!r}; move one of them away, or give the folders of classes as "
            "--data.path and --data.test-path"
        )
    if "train" not in parts:
        raise InputError(f"{path} has a folder for {', '.join(parts)} and none for train; add it")
    return {part: parts[part] for part in NAMES if part in parts}


def _classes(path: Path) -> Classes:
    """The images of each class; folders whose names look alike are one class."""
    classes: dict[str, list[Path]] = {}
    loose = []
    for entry in _entries(path):
        if entry.is_dir():
            classes.setdefault(normalized(entry.name), []).extend(_files(entry))
        elif (mimetypes.guess_type(entry.name)[0] or "").startswith("image/"):
            loose.append(entry)
    if not classes:
        raise InputError(f"--data.path {path} needs a subfolder for each class; it has none")
    if loose:
        note(f"{len(loose)} images outside of class folders are left out, such as {loose[0]}")
    return classes


def _check_classes(classes: Mapping[str, Classes], folders: Mapping[str, Path]) -> None:
    train = classes["train"]
    if len(train) < 2:
        raise InputError(
            f"--data.path {folders['train']} needs a subfolder for each class; it has only "
            f"{next(iter(train))!r}"
        )
    for name, files in train.items():
        if not files:
            raise InputError(f"{folders['train']}: the class {name!r} has no images")
    for part, found in classes.items():
        if not any(found.values()):
            raise InputError(f"{folders[part]} has no images; add some, or remove it")
        if unknown := sorted(found.keys() - train.keys()):
            near = difflib.get_close_matches(unknown[0], train, n=1, cutoff=0.0)[0]
            raise InputError(
                f"{folders[part]} has the class {unknown[0]!r}, which {folders['train']} has not: "
                f"it was never trained on; add images or remove it; did you mean {near!r}?"
            )
        if missing := sorted(name for name in train if not found.get(name)):
            note(f"{folders[part]} has no images of {len(missing)} classes, such as {missing[0]!r}")


def _check_depth(decoded: list[_Decoded]) -> None:
    deep = [image.pixels.dtype != np.uint8 for image in decoded]
    if any(deep) and not all(deep):
        raise InputError(
            f"{decoded[deep.index(True)].path} has more than 8 bits a pixel, and "
            f"{decoded[deep.index(False)].path} has 8; bring all images to one depth"
        )


def _entries(folder: Path) -> list[Path]:
    """The visible entries of a folder, sorted by name."""
    try:
        found = sorted(
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and entry.name != IGNORED
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(folder)[:200]} cannot be read as a folder: {reason}") from None
    for entry in found:
        if not os.path.exists(entry):
            raise InputError(
                f"{entry} leads to {os.path.realpath(entry)}, which is not there; mend the link or "
                "remove it"
            )
    return found


def _files(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The files at any depth below a folder."""
    real = os.path.realpath(folder)
    if real in above:
        raise InputError(f"{folder} is a link to a folder that it lies in; remove it")
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _files(entry, above | {real})
        elif entry.is_file():
            yield entry


def _decode(path: Path, *, size: int, mode: Literal["L", "RGB"], background: str) -> _Decoded:
    try:
        with Image.open(path) as image:
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
        reason = error if os.path.getsize(path) else "it is empty"
        raise InputError(f"cannot read {path} as an image: {reason}") from error
    if not np.isfinite(pixels).all():
        raise InputError(f"{path} has pixels that are no finite numbers; fill them in first")
    pixels = pixels.reshape(size, size, -1)
    if pixels.shape[-1] < len(mode):
        pixels = np.repeat(pixels, len(mode), axis=-1)
    return _Decoded(pixels, path, animated)
