"""One byte of any kind of data, and nothing else, is other data."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from bigmodel.data.fingerprint import fingerprint
from bigmodel.data.images.images import ImageData, load_images
from bigmodel.data.ratings import RatingData, load_ratings
from bigmodel.data.sequences.sequences import SequenceData, load_sequences
from bigmodel.data.sequences.series import SeriesData, load_series
from bigmodel.data.tables.table import TableData, load_table
from bigmodel.data.texts.labelled_text import LabelledTextData, load_labelled_text
from bigmodel.data.texts.pairs import PairData, load_pairs
from bigmodel.data.texts.text import TextData, load_text
from bigmodel.data.texts.words import WordData, load_words
from bigmodel.experiment import Data

RNG = np.random.default_rng(0)
WORDS = ["".join(RNG.choice(list("abcdefgh"), 5)) for _ in range(40)]
OTHER = str.maketrans("abcdefgh0123456789", "badcfehg1032547698")
"""Each of these characters and another one of its kind."""


class Kind(NamedTuple):
    """Data in a file of lines; of each line, what the pattern finds may be changed."""

    head: str
    lines: list[str]
    load: Callable[[str], Data]
    pattern: str


KINDS = {
    "text": Kind("", WORDS, lambda path: load_text(
        TextData(path=path, tokenizer="char", context=7, batch_size=3)).data, r"[a-h]"),
    "bpe": Kind("", WORDS, lambda path: load_text(
        TextData(path=path, tokenizer="bpe", vocab_size=260, context=7, batch_size=3)).data,
        r"[a-h]"),
    "words": Kind("", [WORDS[n % 6] for n in range(50)], lambda path: load_words(WordData(
        path=path, minimum_count=1, window=1, batch_size=8, subsample=0.0)).data, r"[a-h]$"),
    "labelled text": Kind("", [f"{'ab'[n % 2]}\t{word} {n}" for n, word in enumerate(WORDS)],
        lambda path: load_labelled_text(
            LabelledTextData(path=path, tokenizer="byte", length=20, batch_size=4)).data,
        r"^[ab]|[a-h]{5}|\d+$"),
    "pairs": Kind("", [f"{word}\t{word.upper()}{n}\n{word}\tother{n}"
                       for n, word in enumerate(WORDS)],
        lambda path: load_pairs(PairData(path=path, source=1, target=2, batch_size=4)).data,
        r"\d+$"),
    "ratings": Kind("user,item,rating,tags\n",
        [f"u{n % 7},i{n % 5},{n % 9},t{n % 5}" for n in range(40)],
        lambda path: load_ratings(RatingData(
            path=path, user="user", item="item", rating="rating", batch_size=4)).data,
        r"(?<=^u)\d|(?<=,i)\d|(?<=,)\d(?=,)"),
    "series": Kind("value\n", [str(n * n % 101) for n in range(60)],
        lambda path: load_series(
            SeriesData("series", path=path, window=6, horizon=3, batch_size=4)).data, r"\d+"),
    "sequences": Kind("@classLabel true a b\n@data\n",
        [f"{n},{n * n % 17}:{n % 3},{n % 5}:{'ab'[n % 2]}" for n in range(40)],
        lambda path: load_sequences(SequenceData("ts", path=path, batch_size=4)).data,
        r"^\d+|\d+(?=:)|[ab]$"),
    "classes": Kind("size,city,grade\n",
        [f"{n},{'ab'[n % 2]},{'cd'[n // 2 % 2]}" for n in range(40)],
        lambda path: load_table(TableData("csv", path=path, batch_size=4)).data,
        r"^\d+|(?<=,)[abcd]"),
    "numbers": Kind("size,price\n", [f"{n},{n * n}.5" for n in range(40)],
        lambda path: load_table(
            TableData("csv", path=path, task="regression", batch_size=4)).data, r"^\d+|\d+(?=\.)"),
}  # fmt: skip


def changed(lines: list[str], pattern: str) -> Iterator[str]:
    """The lines with one byte changed: the last of each place that the pattern finds."""
    for number, line in enumerate(lines):
        for found in re.finditer(pattern, line):
            at = found.end() - 1
            other = line[:at] + line[at].translate(OTHER) + line[at + 1 :]
            assert other != line
            yield "\n".join([*lines[:number], other, *lines[number + 1 :]])


@pytest.mark.parametrize("name", KINDS)
def test_one_byte_in_any_line_is_other_data(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = tmp_path / "data"

    def print_of(lines: str) -> str:
        path.write_text(kind.head + lines + "\n")
        return kind.load(str(path)).fingerprint

    plain = "\n".join(kind.lines)
    every = [plain, *changed(kind.lines, kind.pattern)]
    assert len(every) > 40
    prints = {text: print_of(text) for text in every}
    assert print_of(plain) == prints[plain]
    assert len(set(prints.values())) == len(prints)


def test_one_byte_of_any_image_or_label_is_other_data(tmp_path: Path) -> None:
    def write(name: str, array: np.ndarray) -> None:
        shape = b"".join(size.to_bytes(4, "big") for size in array.shape)
        (tmp_path / name).write_bytes(bytes([0, 0, 8, array.ndim]) + shape + array.tobytes())

    for part, count in (("train", 40), ("t10k", 20)):
        write(f"{part}-images-idx3-ubyte", RNG.integers(0, 256, (count, 4, 3)).astype(np.uint8))
        write(f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    options = ImageData("fashion_mnist", path=str(tmp_path), batch_size=4)
    prints = {load_images(options).data.fingerprint}
    changes = 0
    for file in sorted(tmp_path.iterdir()):
        content = file.read_bytes()
        head = 16 if "images" in file.name else 8
        for at in range(head, len(content), 12 if "images" in file.name else 1):
            file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            prints.add(load_images(options).data.fingerprint)
            changes += 1
        file.write_bytes(content)
    assert len(prints) == changes + 1 > 100


def test_a_vocabulary_is_data_even_where_all_numbers_stay(tmp_path: Path) -> None:
    """The last letter of the alphabet becomes the next: the same ids, and other words."""
    prints = set()
    for last in "yz":
        path = tmp_path / "text.txt"
        path.write_text(" ".join([*WORDS, f"ab{last}", *WORDS]))
        prints.add(load_text(TextData(path=str(path), context=7, batch_size=3)).data.fingerprint)
    assert len(prints) == 2


PLAIN = ({"a": np.zeros((2, 2), np.float32)}, {"f": b"xy"})


@pytest.mark.parametrize(
    ("arrays", "files"),
    [
        ({"b": np.zeros((2, 2), np.float32)}, PLAIN[1]),
        ({"a": np.zeros((4, 1), np.float32)}, PLAIN[1]),
        ({"a": np.zeros((2, 2), np.int32)}, PLAIN[1]),
        ({"a": np.eye(2, dtype=np.float32)}, PLAIN[1]),
        (PLAIN[0], {}),
        (PLAIN[0], {"f": b"xz"}),
        (PLAIN[0], {"g": b"xy"}),
        (PLAIN[0], {"f": b"xy", "g": b""}),
    ],
    ids=["name", "shape", "dtype", "values", "no file", "content", "file's name", "empty file"],
)
def test_the_fingerprint_sees_arrays_and_files_that_say_what_they_mean(arrays, files) -> None:
    assert fingerprint(arrays, files) != fingerprint(*PLAIN)


def test_the_fingerprint_is_of_the_content_whatever_its_order_in_memory() -> None:
    a, b = np.arange(6).reshape(2, 3), np.ones(2)
    assert fingerprint({"a": a, "b": b}) == fingerprint({"b": b, "a": np.asfortranarray(a)})
