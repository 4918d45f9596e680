"""One set of options for sequences of any kind: rows of images, channels, texts, series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Literal, NamedTuple, TypeVar

from bigmodel.data.images.images import load_images
from bigmodel.data.images.options import ImageData
from bigmodel.data.labelled import LabelledData
from bigmodel.data.personal.masking import Personal
from bigmodel.data.sequences.reading import (
    SEQUENCES,
    RowReader,
    SequenceReader,
    row_reader,
    sequence_reader,
)
from bigmodel.data.sequences.sequences import SequenceData, image_rows, load_sequences
from bigmodel.data.sequences.series import Series, SeriesData, load_series
from bigmodel.data.tables.csv_table import CsvFormat
from bigmodel.data.texts.labelled_text import LabelledTextData, load_labelled_text
from bigmodel.data.texts.reading import TEXTS, TextReader, text_reader
from bigmodel.data.texts.tokenizers import Tokenizer
from bigmodel.experiment import Assets, Data, InputError

T = TypeVar("T")


@dataclass(frozen=True)
class SequenceSource(LabelledData, CsvFormat, Personal):
    """Which sequences, and how they are divided."""

    name: Literal[
        "digits", "fashion_mnist", "japanese_vowels", "ts", "topics", "text", "sunspots", "series"
    ] = "digits"
    """classes of the rows of images (digits, fashion_mnist), of 640 utterances (japanese_vowels),
    of a .ts file (ts), of 724 paragraphs (topics), of a file of lines LABEL<tab>TEXT (text);
    forecasts of monthly sunspots, or of a column of a CSV file (series)"""
    path: str = ""
    """the file of ts, text or series, which may be gzipped; the folder of fashion_mnist"""
    batch_size: int = 128
    """sequences in a batch"""
    length: int = 128
    """maximum number of tokens (text), or of steps (ts), where a longer sequence is an error"""
    tokenizer: Literal["char", "byte", "bpe", "word"] = "word"
    """text: what a token is; a BPE and words are learned from the training part"""
    vocab_size: int = 8192
    """text: size of the vocabulary of a BPE or of words"""
    longer: Literal["cut", "refuse"] = "cut"
    """text: whether a longer one is cut to its beginning, or is an error"""
    column: str = ""
    """series: the column to forecast; not needed where there is only one"""
    window: int = 48
    """series: number of values that a forecast is made from"""
    horizon: int = 1
    """series: steps from the last value of the window to the one that is forecast"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask and self.name not in ("text", "topics", "series"):
            raise InputError(f"--data.mask is for texts and tables, not for {self.name}")

    @property
    def forecast(self) -> bool:
        """Whether the target is a number to forecast rather than a class."""
        return self.name in ("sunspots", "series")


class LabelledSequences(NamedTuple):
    """Batches, and what encodes sequences.

    That has the names of the classes, and the size of the vocabulary; None where steps are numbers.
    """

    data: Data
    reader: SequenceReader | RowReader | TextReader


def load_labelled(
    source: SequenceSource, assets: Assets | None = None, tokenizer: Tokenizer | None = None
) -> LabelledSequences:
    """Batches of sequences with a class each, as their own loader makes them.

    Texts are read with the tokenizer, if there is one.

    Raises:
        InputError: As the loader does.
    """
    if source.forecast:
        raise InputError(f"--data.name {source.name} has no classes")
    if source.name in ("text", "topics"):
        options = _options(LabelledTextData, source)
        return LabelledSequences(*load_labelled_text(options, tokenizer, assets))
    if source.name in ("digits", "fashion_mnist"):
        return LabelledSequences(*image_rows(load_images(_options(ImageData, source), assets)))
    return LabelledSequences(*load_sequences(_options(SequenceData, source), assets))


def labelled_reader(assets: Assets) -> SequenceReader | RowReader | TextReader:
    """What encodes sequences with a class each for a trained run."""
    if SEQUENCES in assets:
        return sequence_reader(assets)
    return text_reader(assets) if TEXTS in assets else row_reader(assets)


def load_forecasts(source: SequenceSource, assets: Assets | None = None) -> Series:
    """Batches of windows of a series: see :func:`~bigmodel.data.sequences.series.load_series`.

    Raises:
        InputError: As that does, and for folds or another test: a series is divided in time.
    """
    if source.folds or source.test_path:
        raise InputError("a series is divided in time; leave --data.folds and --data.test-path out")
    return load_series(_options(SeriesData, source), assets)


def _options(kind: Callable[..., T], source: SequenceSource) -> T:
    """The options of one kind of data: those with the same names."""
    names = signature(kind).parameters.keys() & vars(source).keys()
    return kind(**{name: getattr(source, name) for name in names})
