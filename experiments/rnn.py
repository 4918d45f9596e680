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

from bigmodel.data import (
    SequenceSource,
    labelled_reader,
    load_forecasts,
    load_labelled,
    series_reader,
)
from bigmodel.experiment import Assets, Experiment, InputError
from bigmodel.inference.teaching import load_teacher
from bigmodel.models import Rnn
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Ensemble,
    Optimizer,
    Teacher,
    class_predictor,
    classifier,
    forecast_report,
    number_predictor,
    regressor,
)


@dataclass(frozen=True)
class Config(Settings):
    """A recurrent network and how it is trained."""

    data: SequenceSource = SequenceSource()
    model: Rnn = Rnn(dropout=0.2)
    optimizer: Optimizer = Optimizer(
        "muon", learning_rate=5e-3, momentum=0.95, weight_decay=0.01, eps=1e-6, clip=1.0
    )
    ensemble: Ensemble = Ensemble()
    teacher: Teacher = Teacher()
    run: Run = Run(steps=1500, eval_every=300)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    return (build_forecaster if config.data.forecast else build_classifier)(config, assets)


def build_classifier(config: Config, assets: Assets | None) -> Experiment:
    """A class for each sequence, by its rows, steps or tokens."""
    if config.model.output == "every":
        raise InputError("--model.output every needs a target at each step: sunspots or series")
    data, reader = load_labelled(config.data, assets, config.tokenizer(assets))
    model = config.model.build(len(reader.names), vocab_size=reader.vocab_size)
    return classifier(
        config.begin(model, assets),
        data,
        reader.names,
        config.optimizer,
        ensemble=config.ensemble,
        teaching=load_teacher(config.teacher, data, assets),
        steps=config.run.total_steps(data.steps_per_epoch),
    )


def build_forecaster(config: Config, assets: Assets | None) -> Experiment:
    """A number for each window of a series: a value that comes after it."""
    if config.model.bidirectional and config.model.output == "every":
        raise InputError("--model.bidirectional would see what --model.output every forecasts")
    config.teacher.check_unused("a forecast is a number")
    data, reader = load_forecasts(config.data, assets)
    return regressor(
        config.begin(config.model.build(None), assets),
        data,
        forecast_report(reader.name, mean=reader.mean, scale=reader.scale),
        config.optimizer,
        ensemble=config.ensemble,
        steps=config.run.total_steps(data.steps_per_epoch),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the class of a sequence, or what comes after a series."""
    ensemble = config.ensemble
    if config.data.forecast:
        series = series_reader(assets)
        name, mean, scale = series.name, series.mean, series.scale
        model = config.model.build(None)
        return number_predictor(model, series, name, mean=mean, scale=scale, ensemble=ensemble)
    reader = labelled_reader(assets)
    model = config.model.build(len(reader.names), vocab_size=reader.vocab_size)
    return class_predictor(model, reader, reader.names, ensemble=ensemble)


TINY = ("--model.width=16", "--data.batch-size=32", "--run.steps=60")


if __name__ == "__main__":
    main(build, Config())
