"""Where images with texts come from: packages, a folder of stamps, a file of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.images.fashion_mnist import NAMES, read_fashion_mnist
from bigmodel.data.images.stacking import stacked
from bigmodel.data.packaged import read_digits
from bigmodel.data.scenes.cutouts import STAMPS
from bigmodel.data.texts.text_file import lines_of_files, normalized, read_lines
from bigmodel.experiment import InputError

if TYPE_CHECKING:
    from bigmodel.data.captions.captions import CaptionData

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Shape = tuple[int, int, int]


class Pairs(NamedTuple):
    """Images, uint8 or float32 in [0, 1], texts, and the number of the image that each is of.

    Images with ``labels``, numbers of ``names``, are divided class by class.
    """

    image: np.ndarray
    of: Int[np.ndarray, " text"]
    texts: Sequence[str]
    labels: Int[np.ndarray, " picture"] | None = None
    names: Sequence[str] = ()

    def of_pictures(self, pictures: Int[np.ndarray, " picture"]) -> Pairs:
        """The pairs of some images."""
        rows = np.flatnonzero(np.isin(self.of, pictures))
        return self._replace(of=self.of[rows], texts=[self.texts[row] for row in rows.tolist()])


def read_pairs_of(options: CaptionData, path: str, shape: Shape | None = None) -> dict[str, Pairs]:
    """The pairs of the part ``train``, and of ``test`` where the data has one by itself.

    Args:
        options: Which pairs.
        path: The file or folder.
        shape: Of a trained run's images; all pairs are then in the part ``train``.

    Raises:
        InputError: A file is missing or cannot be used.
    """
    size = options.size if shape is None else shape[0]
    match options.name:
        case "digits":
            table = read_digits()
            image = (table[:, :-1].reshape(-1, 8, 8, 1) / 16).astype(np.float32)
            label = table[:, -1].astype(np.int32)
            pairs = _of_classes(image, label, DIGITS)
            return {"train": pairs._replace(labels=label, names=DIGITS)}
        case "fashion_mnist":
            train, test = read_fashion_mnist(path)
            if shape is not None:
                image, label = map(np.concatenate, zip(train, test, strict=True))
                return {"train": _of_classes(image, label, NAMES)}
            return {"train": _of_classes(*train, NAMES), "test": _of_classes(*test, NAMES)}
        case "stamps":
            return {"train": _of_stamps(Path(path) if path else STAMPS, size)}
    grey = options.channels == "grey" if shape is None else shape[2] == 1
    return {"train": _of_file(Path(path), size, "L" if grey else "RGB")}


def _of_classes(image: np.ndarray, label: np.ndarray, names: Sequence[str]) -> Pairs:
    return Pairs(image, np.arange(len(image)), [names[each] for each in label])


def _of_stamps(folder: Path, size: int) -> Pairs:
    """The stamps that have a text beside them, of which the first line is English."""
    told = {
        file: normalized(next(iter(read_lines(file.with_suffix(".txt"))), ""))
        for file in sorted(folder.rglob("*.png"))
        if file.with_suffix(".txt").is_file()
    }
    told = {file: text for file, text in told.items() if text}
    if not told:
        raise InputError(
            f"{folder} has no stamps with texts; apt install tuxpaint-stamps-default brings them, "
            "or give their folder as --data.path"
        )
    image = stacked(list(told), size=size, mode="RGB")
    return Pairs(image, np.arange(len(told)), list(told.values()))


def _of_file(path: Path, size: int, mode: Literal["L", "RGB"]) -> Pairs:
    """The pairs of a file, each image read once; its path may be relative to that of the file."""
    number: dict[Path, int] = {}
    told: list[str] = []
    pairs: dict[tuple[int, str], None] = {}
    for name, file, text in lines_of_files(path, "IMAGE<tab>TEXT"):
        if file not in number:
            number[file] = len(number)
            told.append(name)
        pairs[number[file], text] = None
    of, texts = zip(*pairs, strict=True)
    return Pairs(stacked(list(number), size=size, mode=mode, told=told), np.array(of), texts)
