"""Pixels of image files: an array in memory, one on disk, or what decodes the rows one asks for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int, Int64, UInt8

from bigmodel.data.images.reading import Decoded, decode
from bigmodel.data.images.threads import for_each
from bigmodel.data.parts import fingerprint
from bigmodel.data.prepared.cache import find_prepared, prepared
from bigmodel.data.prepared.progress import Progress
from bigmodel.errors import StorageError, naming
from bigmodel.experiment import InputError
from bigmodel.output import note

IN_MEMORY = 1 << 28
"""Bytes of pixels up to which the images of a folder are decoded at the start, and kept."""
KIND, PIXELS = "images", "pixels.npy"
VERSION = 1
"""Of what is prepared of a folder."""
AT_ONCE = 512
"""Images that are decoded before they are written."""
TOLD = 3
"""Files of many that are named."""

Rows = UInt8[np.ndarray, "row size size channel"]


class Reading(NamedTuple):
    """How image files become arrays: height and width, colours, and what is behind transparency."""

    size: int
    mode: Literal["L", "RGB"]
    background: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.size, self.size, len(self.mode)

    def decode(self, path: str, content: str | bytes) -> Decoded:
        """The pixels of a file by its path or content.

        Raises:
            InputError: It is no image; its path is named.
        """
        try:
            return decode(content, **self._asdict())
        except InputError as error:
            raise InputError(f"{path} {error}") from error


class Found:
    """Image files, the folders that they are in, and how they are read."""

    def __init__(self, paths: Sequence[str], roots: tuple[str, ...], reading: Reading) -> None:
        self.paths, self.roots, self.reading = paths, roots, reading

    @cached_property
    def stamps(self) -> Int64[np.ndarray, "2 file"]:
        """By what one sees that a file is still the same: its size, and when it changed, in ns.

        It costs 3 us for each file.

        Raises:
            StorageError: One is missing.
        """
        found = np.empty((2, len(self.paths)), np.int64)
        for number, path in enumerate(self.paths):
            with naming(Path(path), "read"):
                status = os.stat(path)
            found[:, number] = status.st_size, status.st_mtime_ns
        return found

    @property
    def key(self) -> dict[str, object]:
        """What decides the pixels. No file is read: who changes one changes its size or time."""
        times = hashlib.sha256(self.stamps[1].tobytes()).hexdigest()
        files = self.digest(range(len(self.paths)))
        return {"files": files, "times": times, **self.reading._asdict(), "version": VERSION}

    @property
    def is_deep(self) -> bool:
        """Whether the first image has more than 8 bits a pixel, as all are to have then."""
        return self.reading.decode(self.paths[0], self.paths[0]).pixels.dtype != np.uint8

    def digest(self, files: Iterable[int]) -> str:
        """A sha256 of the names and sizes of files, wherever their folders are."""
        digest, sizes = hashlib.sha256(), self.stamps[0].tolist()
        for file in files:
            name = self.paths[file]
            for root in self.roots:
                name = name.removeprefix(root)
            digest.update(f"{name}\0{sizes[file]}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


class ImageFiles:
    """The pixels of all files ``[file, size, size, channel]``, each decoded when it is read.

    Several threads decode: Pillow's decoders let other threads run.
    """

    def __init__(self, found: Found, workers: int) -> None:
        self._found, self._workers = found, workers
        self._stamps = found.stamps
        self.shape = (len(found.paths), *found.reading.shape)

    def __getitem__(self, rows: Int[np.ndarray, " row"]) -> Rows:
        """The pixels of some files.

        Raises:
            InputError: One is not an image, or has more than 8 bits a pixel.
            StorageError: One is missing, or has changed since the start.
        """
        pixels = np.empty((len(rows), *self.shape[1:]), np.uint8)

        def fill(place: int) -> None:
            pixels[place] = self._decoded(int(rows[place]))

        for_each(fill, len(rows), self._workers)
        return pixels

    def _decoded(self, file: int) -> np.ndarray:
        path = self._found.paths[file]
        with naming(Path(path), "read"), open(path, "rb") as opened:
            status = os.fstat(opened.fileno())
            content = opened.read()
        if (status.st_size, status.st_mtime_ns) != tuple(self._stamps[:, file]):
            raise StorageError(
                f"{path} has changed since this run has begun; start again with the images that it "
                "is to learn from"
            )
        pixels = self._found.reading.decode(path, content).pixels
        if pixels.dtype != np.uint8:
            raise InputError(
                f"{path} has more than 8 bits a pixel, and {self._found.paths[0]} has 8; bring all "
                "images to one depth"
            )
        return pixels


class Chosen:
    """Some of many images, which are read when they are asked for: what batches need of an array.

    ``rows`` are their numbers in ``pixels``, and in the files that were found.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, pixels: np.ndarray | ImageFiles, found: Found, rows: np.ndarray) -> None:
        self.pixels, self.found, self.rows = pixels, found, rows
        self.shape = (len(rows), *pixels.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Int[np.ndarray, " row"] | slice) -> Rows:
        return np.asarray(self.pixels[self.rows[rows]])

    def part(self, rows: Int[np.ndarray, " row"]) -> Chosen:
        """Some of these images."""
        return Chosen(self.pixels, self.found, self.rows[rows])

    @property
    def inputs(self) -> list[Path]:
        """Their files."""
        return [Path(self.found.paths[row]) for row in self.rows.tolist()]


def digest_of_parts(parts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A sha256 of the names, sizes and labels of many images; None where they are in memory."""
    images = {part: arrays["image"] for part, arrays in parts.items()}
    if not all(isinstance(image, Chosen) for image in images.values()):
        return None
    labels = {part: arrays["label"] for part, arrays in parts.items()}
    files = {part: image.found.digest(image.rows.tolist()) for part, image in images.items()}
    files["reading"] = repr(next(iter(images.values())).found.reading)
    return fingerprint(labels, {name: digest.encode() for name, digest in files.items()})


def pixels_of(found: Found, *, cache: str, workers: int) -> np.ndarray | ImageFiles:
    """The pixels of image files ``[file, size, size, channel]``.

    They are read from what was prepared of the same files. Where nothing was, they are decoded now
    if they take at most ``IN_MEMORY`` bytes, else as they are asked for. All three give the same
    bytes. Images with more than 8 bits a pixel are always decoded now.

    Args:
        found: The files.
        cache: ``--data.cache``.
        workers: How many threads decode them.

    Raises:
        InputError: A file is not an image, or some have 8 bits a pixel and some have more.
        StorageError: One is missing.
    """
    nbytes = len(found.paths) * int(np.prod(found.reading.shape))
    told = f"{found.roots[0]}: {len(found.paths)} images, {nbytes / 1e9:.1f} GB of pixels,"
    folder = find_prepared(KIND, found.key, cache=cache)
    if folder is not None:
        note(f"{told} are read from {folder}")
        return np.load(folder / PIXELS, mmap_mode=None if nbytes <= IN_MEMORY else "r")
    if nbytes <= IN_MEMORY or found.is_deep:
        return _all_decoded(found, workers)
    note(
        f"{told} are decoded by {workers} threads as they are needed; `launch.py prepare` does it "
        "once"
    )
    return ImageFiles(found, workers)


def prepare_pixels(found: Found, *, cache: str, workers: int) -> Path:
    """Decodes images into a file of the cache, from which :func:`pixels_of` reads them later.

    Raises:
        InputError: Files are not images; they are counted, and some named.
        StorageError: The disk is full, or a file is missing.
    """
    if found.is_deep:
        raise InputError(
            f"{found.paths[0]} has more than 8 bits a pixel; such images are decoded at each "
            "start, and there is nothing to prepare"
        )
    files = ImageFiles(found, workers)

    def make(folder: Path) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": files.shape}
        sizes, wrong = found.stamps[0], list[str]()
        with (
            open(folder / PIXELS, "wb") as file,
            Progress(f"decoding {found.roots[0]}", int(sizes.sum())) as progress,
        ):
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(found.paths), AT_ONCE):
                rows = np.arange(start, min(start + AT_ONCE, len(found.paths)))
                try:
                    file.write(files[rows].data)
                except InputError:
                    wrong += _refused(files, rows)
                progress.add(int(sizes[rows].sum()))
        if wrong:
            more = f", and so are {len(wrong) - TOLD} more" if len(wrong) > TOLD else ""
            raise InputError(f"{'; '.join(wrong[:TOLD])}{more}; mend or remove them")

    return prepared(KIND, found.key, make, cache=cache)


def _refused(files: ImageFiles, rows: np.ndarray) -> list[str]:
    """What is wrong with each of some files that is not an image."""
    wrong = []
    for row in rows[:, None]:
        try:
            files[row]
        except InputError as error:
            wrong.append(str(error))
    return wrong


def _all_decoded(found: Found, workers: int) -> np.ndarray:
    """All pixels, as bytes or as the values of files that have more than 8 bits."""
    paths, images = found.paths, dict[int, Decoded]()
    sizes = found.stamps[0]
    with Progress(f"decoding {found.roots[0]}", int(sizes.sum())) as progress:

        def fill(file: int) -> None:
            images[file] = found.reading.decode(paths[file], paths[file])
            progress.add(int(sizes[file]))

        for_each(fill, len(paths), workers)
    in_order = [images[file] for file in range(len(paths))]
    deep = [image.pixels.dtype != np.uint8 for image in in_order]
    if any(deep) and not all(deep):
        raise InputError(
            f"{paths[deep.index(True)]} has more than 8 bits a pixel, and "
            f"{paths[deep.index(False)]} has 8; bring all images to one depth"
        )
    animated = [path for path, image in zip(paths, in_order, strict=True) if image.animated]
    if animated:
        note(
            f"{len(animated)} images have several frames, such as {animated[0]}; only the first "
            "is read"
        )
    return np.stack([image.pixels for image in in_order])
