"""Images with texts by name: digits, clothes or stamps and what they are called, or files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from bigmodel.data.captions.pairs import Pairs, read_pairs_of
from bigmodel.data.images.augmentation import Augmentation, augmented
from bigmodel.data.images.reading import ImageReader, image_reader
from bigmodel.data.labelled import LabelledData
from bigmodel.data.parts import data_of
from bigmodel.data.split import check_positive, split_rows
from bigmodel.data.texts.reading import TOKENIZER, TextReader, text_reader
from bigmodel.data.texts.text_file import normalized, read_lines
from bigmodel.data.texts.tokenizers import cut, learn_tokenizer, padded
from bigmodel.experiment import Assets, Data, InputError
from bigmodel.predictor import Beginning

KEPT = 1000
"""Texts of the training part, the most frequent first, that a run keeps to choose among."""


@dataclass(frozen=True)
class CaptionData(LabelledData, Augmentation):
    """Which images with texts, how they are divided, and what a token is."""

    name: Literal["digits", "fashion_mnist", "stamps", "files"] = "digits"
    """digits and fashion_mnist: images and the names of their classes; stamps: Tux Paint's and what
    they say; files: your own"""
    path: str = ""
    """files: a file of lines IMAGE<tab>TEXT, several for an image if need be, which is in one part;
    fashion_mnist and stamps: their folder, if not in Debian's place"""
    size: int = 48
    """stamps and files: height and width in pixels that images are resized to"""
    channels: Literal["grey", "rgb"] = "rgb"
    """files: whether images are read as greyscale or in colour"""
    tokenizer: Literal["char", "byte", "bpe", "word"] = "word"
    """what a token is; a BPE and words are learned from the training part"""
    vocab_size: int = 8192
    """size of the vocabulary of a BPE or of words; characters and bytes have their own"""
    length: int = 32
    """maximum number of tokens of a text, which is cut to them"""
    batch_size: int = 128
    """pairs of an image and a text in a batch"""

    def __post_init__(self) -> None:
        """Raises InputError where an option is out of range."""
        super().__post_init__()
        check_positive(self, "size", "length", "batch_size")
        self.check_augmentation()
        self.check_unmixed("images with texts have none")
        if self.name == "digits" and self.path:
            raise InputError("--data.path is for other data; digits are bundled")
        if self.name == "files" and not self.path:
            raise InputError("--data.name files needs --data.path, a file of lines IMAGE<tab>TEXT")
        if self.name != "files" and self.test_path:
            raise InputError("--data.test-path is for --data.name files; leave it out")


class Captioned(NamedTuple):
    """Batches of pairs, what encodes images and texts, and the texts by the numbers of batches."""

    data: Data
    images: ImageReader
    texts: TextReader
    captions: tuple[str, ...]


def load_captions(options: CaptionData, assets: Assets | None = None) -> Captioned:
    """Images with texts, divided and made into batches of pairs.

    Batches are ``image`` float32 ``[batch, height, width, channel]`` in [0, 1], ``tokens`` int32
    ``[batch, time]``, ``length`` int32 ``[batch]``, ``picture`` and ``caption`` int32 ``[batch]``,
    which number images and texts that differ, and ``weight`` float32 ``[batch]``. No image is in
    two parts, but the same text may be. The splits are ``validation`` and ``test``.

    Args:
        options: Which images and texts.
        assets: Files of a trained run: all pairs are then the split ``test`` for it.

    Raises:
        InputError: An option is out of range, a file cannot be read, all texts to train on are
            the same, or a trained run knows images of another shape.
    """
    if assets is None:
        parts = _divided(options)
        images = ImageReader((), parts["train"].image.shape[1:])
        texts = _learned(options, parts)
        size = options.batch_size
    else:
        images, texts = image_reader(assets), text_reader(assets)
        whole = read_pairs_of(options, options.path, images.shape)["train"]
        if whole.image.shape[1:] != images.shape:
            raise InputError(
                f"--data.name {options.name} has images of {whole.image.shape[1:]}, and the run "
                f"was trained on {images.shape}"
            )
        parts = {"train": whole, "test": whole}
        size = min(options.batch_size, len(whole.texts))
    captions = tuple(sorted({text for pairs in parts.values() for text in pairs.texts}))
    number = {text: index for index, text in enumerate(captions)}
    how = options if assets is None else Augmentation()
    if how.shift >= min(images.shape[:2]):
        raise InputError(f"--data.shift {how.shift} must be smaller than images of {images.shape}")

    def prepared(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return batch | {"image": images.unit_range(batch["image"])}

    def changed(batch: dict[str, np.ndarray], *which: Any) -> dict[str, np.ndarray]:
        *place, of = which
        sizes: Any = {"batch_size": of, "shape": images.shape[:2], "workers": 1}
        return batch | {"image": augmented(batch["image"], *place, how=how, **sizes)}

    arrays = {part: _arrays(pairs, texts, number) for part, pairs in parts.items()}
    data = data_of(
        arrays,
        size,
        prepare=prepared,
        augment=changed,
        deciding={TOKENIZER: texts.tokenizer.dump()},
        assets={**images.dump(), **texts.dump()},
    )
    inputs: dict[str, Any] = {part: arrays[part]["image"] for part in data.splits}
    return Captioned(data._replace(inputs=inputs), images, texts, captions)


def read_classes(path: str) -> tuple[str, ...]:
    """The texts of a file to choose among, one on each line.

    Raises:
        InputError: It cannot be read, or has fewer than two.
    """
    if not Path(path).is_file():
        raise InputError(f"--classes {path} is no file")
    found = tuple(dict.fromkeys(filter(None, map(normalized, read_lines(Path(path))))))
    if len(found) < 2:
        raise InputError(f"{path} has {len(found)} text(s) to choose among; write one on each line")
    return found


def encoded(texts: Sequence[str], reader: TextReader) -> dict[str, np.ndarray]:
    """``tokens`` and ``length`` of texts, which are cut to what the reader reads."""
    return reader.encode([Beginning(text) for text in texts])


def _divided(options: CaptionData) -> dict[str, Pairs]:
    """The pairs of each part that has some; those of an image are in the same."""
    given = read_pairs_of(options, options.path)
    whole = given.pop("train")
    if options.test_path:
        shape = whole.image.shape[1:]
        given["test"] = read_pairs_of(options, options.test_path, shape)["train"]
    if (count := len(whole.image)) < 3:
        raise InputError(f"{options.path} has {count} image(s), and three are the fewest to divide")
    # Digits as those who know their classes alone, so that a codebook that was learned from the
    # images of `vqvae.py` has not seen those of the other parts either.
    split = split_rows(options, count, labels=whole.labels, names=whole.names, given=given)
    divided = {
        part: whole.of_pictures(rows) if len(rows) else given.get(part)
        for part, rows in split.items()
    }
    if len(texts := {*whole.of_pictures(split["train"]).texts}) < 2:
        raise InputError(
            f"all images to train on have the text {min(texts)!r}; a text is told from others, so "
            "two that differ are the fewest"
        )
    return {part: pairs for part, pairs in divided.items() if pairs is not None}


def _learned(options: CaptionData, parts: Mapping[str, Pairs]) -> TextReader:
    """What encodes texts, learned from those of the training part, of which it keeps some."""
    train = parts["train"].texts
    others = [text for part, pairs in parts.items() if part != "train" for text in pairs.texts]
    tokenizer = learn_tokenizer(
        options.tokenizer, train=train, others=others, size=options.vocab_size
    )
    longest = max(len(tokenizer.encode(text)) for text in {*train, *others})
    frequent = (text for text, _ in Counter(train).most_common(KEPT))
    return TextReader(tuple(frequent), min(options.length, longest), tokenizer)


def _arrays(pairs: Pairs, reader: TextReader, number: Mapping[str, int]) -> dict[str, np.ndarray]:
    ids = {
        text: cut(reader.tokenizer.encode(text), reader.time, reader.tokenizer)
        for text in set(pairs.texts)
    }
    return {
        "image": pairs.image[pairs.of],
        "tokens": padded([ids[text] for text in pairs.texts], reader.time),
        "length": np.array([len(ids[text]) for text in pairs.texts], np.int32),
        "picture": pairs.of.astype(np.int32),
        "caption": np.array([number[text] for text in pairs.texts], np.int32),
    }
