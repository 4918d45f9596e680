r"""Recurrent network over sequences: classes of them, or forecasts of a series (Elman, 1990).

    python experiments/rnn.py   # digits row by row: 40 s on 2 cores, 97.8 % test accuracy

Other kinds: ``--model.cell`` plain, lstm or gru; ``--model.layers``, ``--model.bidirectional``.
On 2 cores that others used too, Fashion-MNIST row by row, lstm: 3 min, 89.0 %; gru with 6
epochs: 2.6 min, 91.0 %; plain with 4 epochs: 1 min, 87.8 %. The books of ten in which 13,090
verses stand: 82 s, 68.3 %; tf-idf with logistic regression has 69.7 % there (benchmarks/text.py).
Sunspots a year ahead: 23 s, RMSE 25.3; ridge regression on the same window has 26.1, the last
value 35.9 (``python benchmarks/series.py --horizon 12 --window 132``).

    python experiments/rnn.py --data.name fashion_mnist --data.validation 0.05 \
        --model.cell lstm --model.dropout 0 --run.epochs 3 --run.eval-every-epochs 1
    python experiments/rnn.py --data.name text --data.path TSV --data.length 64 \
        --model.width 64 --model.bidirectional --model.output mean --model.dropout 0.5 \
        --run.epochs 6 --run.eval-every-epochs 1
    python experiments/rnn.py --data.name sunspots --data.horizon 12 --data.window 132 \
        --data.batch-size 64 --model.width 32 --model.dropout 0 --run.steps 400 \
        --run.eval-every 100
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bigmodel.data.images.images import ImageData, load_images
from bigmodel.data.sequences.sequences import SequenceData, load_sequences, rows
from bigmodel.data.sequences.series import SeriesData, load_series
from bigmodel.data.texts.labelled_text import LabelledTextData, load_labelled_text
from bigmodel.experiment import Experiment, InputError
from bigmodel.models.rnn import Rnn
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Ensemble, Optimizer, classifier, forecaster

Name: TypeAlias = Literal[
    "digits", "fashion_mnist", "japanese_vowels", "ts", "topics", "text", "sunspots", "series"
]


@dataclass(frozen=True)
class AnySequences(LabelledTextData, SeriesData, SequenceData):
    """Which sequences, and how they are divided."""

    # Wider than in any of the three, of which each loader reads its own part.
    name: Name = "digits"  # type: ignore[assignment]
    """classes of the rows of images (digits, fashion_mnist), of 640 utterances (japanese_vowels),
    of a .ts file (ts), of 724 paragraphs (topics), of a file of lines LABEL<tab>TEXT (text);
    forecasts of monthly sunspots, or of a column of a CSV file (series)"""
    path: str = ""
    """the file of ts, text or series, which may be gzipped (.gz); the folder of fashion_mnist"""
    test_path: str = ""
    """ts, text: another such file for the test, in the place of a fraction of the first"""
    batch_size: int = 128
    """sequences in a batch"""
    validation: float = 0.1
    """fraction held out to choose by: of each class, or of a series before its test"""
    test: float = 0.2
    """fraction held out for the test: of each class, where it has no such set, or of a series"""
    split_seed: int = 0
    """decides which sequences are held out, apart from the seed of the run"""
    length: int = 128
    """text: most tokens; ts: most steps, and a longer sequence is an error"""


@dataclass(frozen=True)
class Config(Settings):
    """A recurrent network and how it is trained."""

    data: AnySequences = AnySequences()
    model: Rnn = Rnn(dropout=0.2)
    optimizer: Optimizer = Optimizer(
        "muon", learning_rate=5e-3, momentum=0.95, weight_decay=0.01, eps=1e-6, clip=1.0
    )
    ensemble: Ensemble = Ensemble()
    run: Run = Run(steps=1500, eval_every=300)


def build(config: Config) -> Experiment:
    """The experiment of a config."""
    series = config.data.name in ("sunspots", "series")
    return build_forecaster(config) if series else build_classifier(config)


def build_classifier(config: Config) -> Experiment:
    """A class for each sequence, by its rows, steps or tokens."""
    options, vocab_size = config.data, None
    if config.model.output == "every":
        raise InputError("--model.output every needs a target at each step: sunspots or series")
    if options.name in ("text", "topics"):
        text = load_labelled_text(options)
        data, names, vocab_size = text.data, text.names, text.tokenizer.vocab_size
    elif options.name == "digits" or options.name == "fashion_mnist":
        images = ImageData(
            options.name,
            options.path,
            options.batch_size,
            validation=options.validation,
            test=options.test,
            split_seed=options.split_seed,
            folds=options.folds,
            fold=options.fold,
        )
        data, names = rows(load_images(images))
    else:
        data, names = load_sequences(options)
    return classifier(
        config.model.build(len(names), vocab_size=vocab_size),
        data,
        names,
        config.optimizer,
        ensemble=config.ensemble,
        steps=config.run.total_steps(data.steps_per_epoch),
    )


def build_forecaster(config: Config) -> Experiment:
    """A number for each window of a series: a value that comes after it."""
    if config.model.bidirectional and config.model.output == "every":
        raise InputError("--model.bidirectional would see what --model.output every forecasts")
    series = load_series(config.data)
    return forecaster(
        config.model.build(None),
        series.data,
        series.name,
        config.optimizer,
        ensemble=config.ensemble,
        steps=config.run.total_steps(series.data.steps_per_epoch),
        mean=series.mean,
        scale=series.scale,
    )


TINY = ("--model.width=16", "--data.batch-size=32", "--run.steps=60")


if __name__ == "__main__":
    main(build, Config())
