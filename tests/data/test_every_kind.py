"""What data of every kind promises, and that one byte of it makes other data."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from bigmodel import data
from bigmodel.data.sequences.sequences import image_rows

RNG = np.random.default_rng(0)
WORDS = ["".join(RNG.choice(list("abcdefgh"), 5)) for _ in range(40)]
OTHER = str.maketrans("abcdefgh0123456789", "badcfehg1032547698")
"""Each of these characters and another one of its kind."""


class Kind(NamedTuple):
    """What loads a file of lines, and its batches; of each line the pattern may be changed."""

    load: Callable[[Any], Any]
    options: Any
    batches: str
    lines: Sequence[str] = ()
    pattern: str = ""


def masked_text(options: data.TextData) -> Any:
    text = data.load_text(options)
    return text._replace(data=data.masked(text.data, data.Masking(), vocab_size=9))


KINDS = {
    "text": Kind(data.load_text,
        data.TextData(path="data", tokenizer="char", context=7, batch_size=3),
        "tokens int32 3 7, targets int32 3 7, weight float32 3 7", WORDS, r"[a-h]"),
    "bpe": Kind(data.load_text, data.TextData(path="data", vocab_size=260, context=7, batch_size=3),
        "tokens int32 3 7, targets int32 3 7, weight float32 3 7", WORDS, r"[a-h]"),
    "prepared text": Kind(data.load_text,
        data.TextData(path="data", tokenizer="char", context=7, batch_size=3, cache="cache",
                      packing="document"),
        "tokens int32 3 7, targets int32 3 7, weight float32 3 7", WORDS),
    "masked text": Kind(masked_text,
        data.TextData(path="data", tokenizer="char", context=7, batch_size=3),
        "tokens int32 3 7, length int32 3, chosen int32 3 1, targets int32 3 1, "
        "weight float32 3 1", WORDS),
    "words": Kind(data.load_words,
        data.WordData(path="data", minimum_count=1, window=1, batch_size=8, subsample=0.0),
        "centre int32 8, context int32 8, negatives int32 8 5, weight float32 8",
        [WORDS[n % 6] for n in range(50)], r"[a-h]$"),
    "labelled text": Kind(data.load_labelled_text,
        data.LabelledTextData(path="data", tokenizer="byte", length=20, batch_size=4),
        "tokens int32 4 8, length int32 4, label int32 4, weight float32 4",
        [f"{'ab'[n % 2]}\t{word} {n}" for n, word in enumerate(WORDS)], r"^[ab]|[a-h]{5}|\d+$"),
    "pairs": Kind(data.load_pairs, data.PairData(path="data", batch_size=4),
        "source int32 4 6, source_length int32 4, target_out int32 4 8, target_length int32 4, "
        "example int32 4, weight float32 4, target_in int32 4 8",
        [f"{word}\t{word.upper()}{n}\n{word}\tother{n}" for n, word in enumerate(WORDS)], r"\d+$"),
    "tagged words": Kind(data.load_tagged,
        data.TaggedData(path="data", tokenizer="byte", batch_size=4),
        "tokens int32 4 9, length int32 4, chosen int32 4 2, words int32 4, labels int32 4 2, "
        "weight float32 4",
        [f"{word} B-{'ab'[n % 2]}\n{n} O\n" for n, word in enumerate(WORDS)],
        r"^[a-h]+|(?<=B-)[ab]|\d+"),
    "dialogues": Kind(data.load_dialogues,
        data.TextData("dialogues", path="data", tokenizer="byte", context=99, batch_size=4),
        "tokens int32 4 99, targets int32 4 99, weight float32 4 99",
        [f'{{"messages": [{{"role": "user", "content": "{word}"}}, '
         f'{{"role": "assistant", "content": "{n}"}}]}}' for n, word in enumerate(WORDS)],
        r'(?<=content": ")[a-h]+|\d+'),
    "ratings": Kind(data.load_ratings,
        data.RatingData(path="data", user="user", item="item", rating="rating", batch_size=4),
        "user int32 4, item int32 4, target float32 4, weight float32 4, tags float32 4 0",
        ["user,item,rating,tags", *(f"u{n % 7},i{n % 5},{n % 9},t{n % 5}" for n in range(40))],
        r"(?<=^u)\d|(?<=,i)\d|(?<=,)\d(?=,)"),
    "series": Kind(data.load_series,
        data.SeriesData("series", path="data", window=6, horizon=3, batch_size=4),
        "sequence float32 4 6 1, length int32 4, targets float32 4 6, target float32 4, "
        "weight float32 4",
        ["value", *(str(n * n % 101) for n in range(60))], r"\d+"),
    "sequences": Kind(data.load_sequences, data.SequenceData("ts", path="data", batch_size=4),
        "sequence float32 4 2 2, length int32 4, label int32 4, weight float32 4",
        ["@classLabel true a b", "@data",
         *(f"{n},{n * n % 17}:{n % 3},{n % 5}:{'ab'[n % 2]}" for n in range(40))],
        r"^\d+|\d+(?=:)|(?<=:)[ab]$"),
    "classes": Kind(data.load_table, data.TableData("csv", path="data", batch_size=4),
        "features float32 4 3, label int32 4, weight float32 4",
        ["size,city,grade", *(f"{n},{'ab'[n % 2]},{'cd'[n // 2 % 2]}" for n in range(40))],
        r"^\d+|(?<=,)[abcd]$|(?<=,)[abcd](?=,)"),
    "numbers": Kind(data.load_table,
        data.TableData("csv", path="data", task="regression", batch_size=4),
        "features float32 4 1, target float32 4, weight float32 4",
        ["size,price", *(f"{n},{n * n}.5" for n in range(40))], r"^\d+|\d+(?=\.)"),
    "images": Kind(data.load_images, data.ImageData(batch_size=64, shift=1, flip=True),
        "image float32 64 8 8 1, label int32 64, weight float32 64"),
    "altered images": Kind(data.load_images,
        data.ImageData(batch_size=64, shift=1, crop=0.3, jitter=0.3, hue=0.1, randaugment=2),
        "image float32 64 8 8 1, label int32 64, weight float32 64"),
    "captions": Kind(data.load_captions, data.CaptionData(batch_size=64, shift=1),
        "image float32 64 8 8 1, tokens int32 64 1, length int32 64, picture int32 64, "
        "caption int32 64, weight float32 64"),
    "rows of images": Kind(lambda options: image_rows(data.load_images(options)),
        data.ImageData(batch_size=64),
        "sequence float32 64 8 8, length int32 64, label int32 64, weight float32 64"),
}  # fmt: skip


@pytest.fixture
def load(write, monkeypatch, tmp_path) -> Callable[..., Any]:
    """Loads data of a kind, from other lines or with other options."""
    monkeypatch.chdir(tmp_path)

    def load(name: str, lines: Sequence[str] | None = None, **changes: Any) -> Any:
        kind = KINDS[name]
        write("\n".join(kind.lines if lines is None else lines) + "\n")
        return kind.load(replace(kind.options, **changes)).data

    return load


def described(batch: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {a.dtype} {' '.join(map(str, a.shape))}" for name, a in batch.items())


@pytest.mark.parametrize("name", KINDS)
def test_all_batches_have_one_structure_and_none_is_only_padding(name: str, load) -> None:
    loaded = load(name)
    batches = [batch for split in loaded.splits.values() for batch in split]
    of_all = {described(dict(sorted(batch.items()))) for batch in (loaded.train(0, 0), *batches)}
    assert of_all == {", ".join(sorted(KINDS[name].batches.split(", ")))}
    assert all(batch["weight"].sum() > 0 for batch in batches)
    for split in loaded.splits.values():
        np.testing.assert_equal(list(split[-2:])[-1], split[-1])
        with pytest.raises(IndexError):
            split[len(split)]


@pytest.mark.parametrize("name", KINDS)
def test_training_follows_seed_and_step_alone_and_evaluation_never_changes(name: str, load) -> None:
    first, second = load(name), load(name)
    batch = first.train(3, 70)
    np.testing.assert_equal(second.train(3, 70), batch)
    for other in (first.train(3, 71), first.train(4, 70)):
        assert any(not np.array_equal(other[name], array) for name, array in batch.items())
    for split, batches in first.splits.items():
        np.testing.assert_equal(list(second.splits[split]), list(batches))


@pytest.mark.parametrize("name", KINDS)
def test_rows_of_a_batch_that_are_made_apart_are_the_whole_of_it(name: str, load) -> None:
    loaded = load(name)
    whole, size = loaded.train(3, 70), loaded.batch_size
    for cuts in ((0, size // 2, size), (0, 1, size - 1, size), range(size + 1)):
        parts = [loaded.train(3, 70, slice(*ends)) for ends in pairwise(cuts)]
        for array, joined in whole.items():
            pieces = [part[array] for part in parts]
            assert {(piece.dtype, piece.shape[1:]) for piece in pieces} == {
                (joined.dtype, joined.shape[1:])
            }
            np.testing.assert_array_equal(np.concatenate(pieces), joined)
    shapes = {array: (values.dtype, values.shape) for array, values in whole.items()}
    assert {n: (a.dtype, a.shape) for n, a in loaded.example.items()} == shapes


@pytest.mark.parametrize("name", KINDS)
def test_a_fraction_of_zero_leaves_its_split_out(name: str, load) -> None:
    assert list(load(name).splits) == ["validation", "test"]
    assert list(load(name, validation=0.0).splits) == ["test"]
    assert list(load(name, test=0.0).splits) == ["validation"]


@pytest.mark.parametrize("name", [n for n, kind in KINDS.items() if "split_seed" in vars(kind[1])])
def test_rows_are_held_out_by_the_split_seed(name: str, load) -> None:
    prints = [load(name, split_seed=seed).fingerprint for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


RENAMED = {
    "labelled text": (r"^([ab])(?=\t)", r"class \1"),
    "tagged words": (r"(?m)(?<=B-)([ab])$", r"class-\1"),
    "ratings": (r"^u(?=\d)", "w"),
    "sequences": (r"(?<=[ :])([ab])\b", r"class-\1"),
    "classes": (r"(?<=,)([cd])$", r"class \1"),
    "numbers": (r"^size", "width"),
}
"""Names of what numbers stand for, and others in the same order."""


@pytest.mark.parametrize("name", RENAMED)
def test_data_with_other_names_in_the_same_order_is_other_data(name: str, load) -> None:
    lines = [re.sub(*RENAMED[name], line) for line in KINDS[name].lines]
    whole, renamed = load(name), load(name, lines)
    np.testing.assert_equal(renamed.train(3, 70)["weight"], whole.train(3, 70)["weight"])
    assert renamed.fingerprint != whole.fingerprint


LIMITS = [
    (name, option, value)
    for name, kind in KINDS.items()
    for option, values in {
        "validation": (1.0, -0.1), "test": (1.0, float("nan")), "split_seed": (-1,),
        "batch_size": (0, 9999) if name != "words" else (0,),
    }.items()
    if option in vars(kind.options)
    for value in values
]  # fmt: skip
"""Batches of words, which are drawn with repetition, may be as large as one likes."""


@pytest.mark.parametrize(("name", "option", "value"), LIMITS)
def test_shared_options_out_of_range_are_refused(name, option, value, load, refused) -> None:
    with refused(f"--data.{option.replace('_', '-')} {value}|a batch of {value} windows"):
        load(name, **{option: value})


def changed(lines: Sequence[str], pattern: str) -> Iterator[list[str]]:
    """The lines with one byte changed: the last of each place that the pattern finds."""
    for number, line in enumerate(lines):
        for found in re.finditer(pattern, line):
            at = found.end() - 1
            other = line[:at] + line[at].translate(OTHER) + line[at + 1 :]
            assert other != line
            yield [*lines[:number], other, *lines[number + 1 :]]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.pattern])
def test_one_byte_in_any_line_is_other_data(name: str, load) -> None:
    lines = KINDS[name].lines
    every = [lines, *changed(lines, KINDS[name].pattern)]
    assert len(every) > 40
    prints = [load(name, other).fingerprint for other in every]
    assert load(name).fingerprint == prints[0]
    assert len(set(prints)) == len(set(map(tuple, every)))


def test_a_vocabulary_is_data_even_where_all_numbers_stay(load) -> None:
    """The last letter of the alphabet becomes the next: the same ids, and other words."""
    prints = {load("bpe", [*WORDS, f"ab{last}", *WORDS], vocab_size=1024).fingerprint
              for last in "yz"}  # fmt: skip
    assert len(prints) == 2
