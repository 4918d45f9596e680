"""Fashion-MNIST: 70,000 grey images of clothes, 28x28, ten classes (Xiao et al., 2017).

It comes in the idx format of the MNIST family: a magic number, the dimensions, unsigned bytes.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from bigmodel.data.download import cache_folder, fetch
from bigmodel.data.texts.text_file import read_bytes
from bigmodel.experiment import InputError

NAMES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # the package dataset-fashion-mnist
SHA256 = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}

Labelled = tuple[UInt8[np.ndarray, "rows height width 1"], Int32[np.ndarray, " rows"]]


def read_fashion_mnist(path: str = "") -> tuple[Labelled, Labelled]:
    """Images and labels to train on, and those to test on.

    The four idx files, gzipped or not, are looked for in `path` if it is given; else in the
    folder of the Debian package; else in the cache, where they are downloaded to.

    Raises:
        InputError: If a file is missing or damaged, or labels do not match images.
    """
    folder = Path(path) if path else _installed_or_downloaded()
    train, test = (_labelled(folder, part) for part in ("train", "t10k"))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise InputError(
            f"{folder}: training images are {train[0].shape[1:3]} pixels, "
            f"test images {test[0].shape[1:3]}"
        )
    return train, test


def _installed_or_downloaded() -> Path:
    if all(_find(DEBIAN_FOLDER, name) for name in SHA256):
        return DEBIAN_FOLDER
    cache = cache_folder("fashion_mnist")
    for name, sha256 in SHA256.items():
        if not _find(cache, name):
            fetch(f"{ADDRESS}/{name}.gz", cache / f"{name}.gz", sha256=sha256)
    return cache


def _find(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _labelled(folder: Path, part: str) -> Labelled:
    """The images and labels of one part, checked against each other."""
    paths = {}
    for name in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
        found = _find(folder, name)
        if found is None:
            raise InputError(f"--data.path {folder} holds neither {name} nor {name}.gz")
        paths[name] = found
    images_path, labels_path = paths.values()
    images = read_idx(images_path, dimensions=3)
    labels = read_idx(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise InputError(
            f"{images_path} holds {len(images)} images, {labels_path} {len(labels)} labels"
        )
    if labels.max(initial=0) >= len(NAMES):
        raise InputError(f"{labels_path} holds the label {labels.max()}; labels are 0 to 9")
    return images[..., None], labels.astype(np.int32)


def read_idx(path: Path, *, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Read an idx file of unsigned bytes, gzipped or not.

    Raises:
        InputError: If the file cannot be read, has another magic number (which holds the
            type and the number of dimensions), or does not hold the bytes it promises.
    """
    content = read_bytes(path)
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
