"""Pairs of words that are near each other in a text (Mikolov et al., 2013)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bigmodel.data.batches import in_order
from bigmodel.data.parts import fingerprint
from bigmodel.data.personal.masking import Personal
from bigmodel.data.split import check_held_out, check_positive
from bigmodel.data.texts.corpus import read_corpus, split_corpus
from bigmodel.data.texts.reading import WORDS, word_reader
from bigmodel.data.texts.text_file import is_of_letters
from bigmodel.data.texts.tokenizers import split_words
from bigmodel.experiment import WHOLE, Assets, Batch, Data, InputError

# Numbers the independent random streams of one seed.
PAIR_STREAM = 0
SUBSAMPLING_STREAM = 1
# The pairs of evaluation are the same in every run.
EVALUATION_SEED = 0
# Entries of the table from which negatives are drawn.
TABLE = 1 << 20
COUNTS = "counts.json"


@dataclass(frozen=True)
class WordData(Personal):
    """Which text, split by characters (training first), and how pairs of words are sampled."""

    name: Literal["topics", "text"] = "topics"
    """topics: the help texts that every Python brings (0.5 MB); text: the file in path"""
    path: str = ""
    """a UTF-8 text file, which may be gzipped (.gz); used whenever it is given"""
    minimum_count: int = 5
    """words with fewer occurrences in the training part are left out"""
    window: int = 5
    """maximum distance between the words of a pair; closer words are paired more often"""
    subsample: float = 1e-3
    """a word of share f is kept with probability sqrt(subsample / f); 0 keeps all"""
    negatives: int = 5
    """number of negative samples for each pair, drawn by count to the power of 0.75"""
    batch_size: int = 1024
    """pairs in a batch"""
    validation: float = 0.1
    """fraction of the text for validation; 0 for none"""
    test: float = 0.1
    """fraction of the text, at its end, for the test; 0 for none"""

    def __post_init__(self) -> None:
        check_positive(self, "minimum_count", "window", "negatives", "batch_size")
        if not 0 <= self.subsample <= 1:
            raise InputError(f"--data.subsample {self.subsample} must be from 0 to 1")
        check_held_out(self, of_one=True)


class Words(NamedTuple):
    """Batches of pairs, and the vocabulary, the most frequent words first.

    ``train`` are the numbers of the training text's words in order, without the rare ones.
    """

    data: Data
    vocabulary: tuple[str, ...]
    counts: Int[np.ndarray, "word"]
    train: Int[np.ndarray, "tokens"]


def load_words(options: WordData, assets: Assets | None = None) -> Words:
    """Reads and splits a text, and makes its words into batches of pairs.

    Rare words are removed, then frequent ones at random, differently in each epoch; a pair is
    two of the remaining words within a window. Batches have ``centre`` and
    ``context`` int32 ``[batch]``, ``negatives`` int32 ``[batch, negatives]``, and ``weight``
    float32 ``[batch]``. A training batch is a pure function of the seed and the step. An
    evaluation split has as many pairs as words, always the same. With the ``assets`` of a trained
    run all of the text is the split ``test``, of that run's words and their counts. The inputs are
    the centres.

    Raises:
        InputError: The file cannot be read as UTF-8 text, or it has too few words.
    """
    mask = options.masking()
    source, text = read_corpus(options.name, options.path)
    text = mask(text)
    parts = {"train": text, "test": text}
    if assets is None:
        parts = split_corpus(text, validation=options.validation, test=options.test)
    split = {
        name: [w for w in split_words(part) if is_of_letters(w)] for name, part in parts.items()
    }
    if assets is None:
        vocabulary, counts = _vocabulary(split["train"], options.minimum_count, source)
    else:
        vocabulary = word_reader(assets).vocabulary
        counts = np.array(json.loads(assets[COUNTS]), np.int64)
    number = {word: n for n, word in enumerate(vocabulary)}
    tokens = {
        name: np.array([number[word] for word in words if word in number], np.int32)
        for name, words in split.items()
    }
    for name, part in tokens.items():
        if len(part) <= 2 * options.window:
            raise InputError(
                f"the {name} part of {source} has {len(part)} words that are frequent enough, and "
                f"a window needs {2 * options.window + 1}; use a longer text or a smaller "
                "--data.window or --data.minimum-count"
            )
    train = tokens.pop("train")
    sampler = _Sampler(options, counts)

    @lru_cache(maxsize=3)
    def kept(seed: int, epoch: int) -> Int[np.ndarray, "kept"]:
        return sampler.thin(train, np.random.default_rng([seed, SUBSAMPLING_STREAM, epoch]))

    expected = float(sampler.keep[train].sum()) * (options.window + 1)
    steps_per_epoch = max(1, round(expected / options.batch_size))

    def batch(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        random = np.random.default_rng([seed, PAIR_STREAM, step])
        thinned = kept(seed, step // steps_per_epoch)
        pairs = sampler.pairs(thinned, options.batch_size, random, rows)
        return pairs | {"weight": np.ones(len(pairs["centre"]), np.float32)}

    def fixed(part: Int[np.ndarray, "tokens"]) -> dict[str, np.ndarray]:
        random = np.random.default_rng([EVALUATION_SEED, PAIR_STREAM])
        thinned = sampler.thin(part, random)
        return sampler.pairs(thinned, len(thinned), random)

    pairs = {name: fixed(part) for name, part in tokens.items()}
    deciding = {WORDS: "\n".join(vocabulary).encode()}
    data = Data(
        train=batch,
        splits={name: in_order(arrays, options.batch_size) for name, arrays in pairs.items()},
        batch_size=options.batch_size,
        steps_per_epoch=steps_per_epoch,
        fingerprint=fingerprint({"train": train} | tokens, deciding),
        assets=mask.with_counts({**deciding, COUNTS: json.dumps(counts.tolist()).encode()}),
        inputs={
            name: [vocabulary[number] for number in arrays["centre"]]
            for name, arrays in pairs.items()
        },
    )
    return Words(data, vocabulary, counts, train)


def _vocabulary(
    words: list[str], minimum: int, source: str
) -> tuple[tuple[str, ...], Int[np.ndarray, "word"]]:
    """The words that are frequent enough by falling count, ties in the order of Unicode."""
    counted = Counter(words)
    if not counted:
        raise InputError(f"the train part of {source} has no word; give a text with words")
    kept = sorted(
        (word for word, count in counted.items() if count >= minimum),
        key=lambda word: (-counted[word], word),
    )
    if len(kept) < 2:
        word, count = counted.most_common(1)[0]
        raise InputError(
            f"the train part of {source} has {len(kept)} words that occur {minimum} times or more, "
            f"and needs two ({word!r}, its most frequent, occurs {count} times); use a longer "
            "text or a smaller --data.minimum-count"
        )
    return tuple(kept), np.array([counted[word] for word in kept], np.int64)


class _Sampler:
    """Draws words to keep, pairs, and negatives."""

    def __init__(self, options: WordData, counts: Int[np.ndarray, "word"]) -> None:
        share = counts / counts.sum()
        threshold = options.subsample or np.inf
        self.keep: Float[np.ndarray, "word"] = np.minimum(1, np.sqrt(threshold / share))
        # A word fills its part of a table, as in the original: drawing is a look-up then.
        cumulative = np.cumsum(counts**0.75)
        middles = (np.arange(TABLE) + 0.5) / TABLE
        table = np.searchsorted(cumulative / cumulative[-1], middles, side="right")
        self.table: Int[np.ndarray, "table"] = table.astype(np.int32)
        self.negatives = options.negatives
        self.window = options.window
        # Each centre draws its own reach from 1 to the window; a distance is within it the more
        # often the smaller it is.
        reach = np.arange(1, options.window + 1)
        distances = np.repeat(reach, reach[::-1])
        self.offsets = np.concatenate([-distances, distances])

    def thin(
        self, tokens: Int[np.ndarray, "tokens"], random: np.random.Generator
    ) -> Int[np.ndarray, "kept"]:
        """The words without a random part of the frequent ones; all, if too few would be left."""
        kept = tokens[random.random(len(tokens)) < self.keep[tokens]]
        return kept if len(kept) > 2 * self.window else tokens

    def pairs(
        self,
        tokens: Int[np.ndarray, "kept"],
        count: int,
        random: np.random.Generator,
        rows: slice = WHOLE,
    ) -> dict[str, np.ndarray]:
        """Rows of ``count`` pairs with negatives; each centre has a whole window around it."""
        centre = random.integers(self.window, len(tokens) - self.window, size=count)[rows]
        offset = self.offsets[random.integers(len(self.offsets), size=count)[rows]]
        negatives = self.table[random.integers(TABLE, size=(count, self.negatives))[rows]]
        return {
            "centre": tokens[centre],
            "context": tokens[centre + offset],
            "negatives": negatives,
        }
