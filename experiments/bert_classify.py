r"""BERT labels texts, from its own pre-training or from scratch (Devlin et al., 2019).

    python experiments/bert_classify.py   # 1.4 min of processor time, 82.1 % test accuracy

A script of its own beside `experiments/bert.py`, for it has other data, another head and other
options. From what that one learned, in the run directory that it printed:

    python experiments/bert_classify.py --init.from RUN --data.path labelled.tsv

The tokenizer is then that run's too, and `--model` must be as it was there. Which of ten books of
an English Bible a verse is from, it learns from 400 of them: 43.9 % are right after pre-training on
all other verses, and 39.2 % from scratch (5 seeds, `benchmarks/bert.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bigmodel.data import LabelledTextData, TextReader, load_labelled_text, text_reader
from bigmodel.experiment import Assets, Experiment, Model
from bigmodel.inference.teaching import load_teacher
from bigmodel.models import Bert
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Ensemble, Optimizer, Teacher, class_predictor, classifier


@dataclass(frozen=True)
class Config(Settings):
    """A text classifier and how it is trained."""

    data: LabelledTextData = LabelledTextData(
        "topics", tokenizer="bpe", vocab_size=1024, length=64, batch_size=32
    )
    model: Bert = Bert(dropout=0.1)
    pooling: Literal["first", "mean"] = "mean"
    """what the head reads: the position before the text, or the mean of the text's"""
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=1e-3, warmup_steps=20, weight_decay=0.01, eps=1e-6
    )
    ensemble: Ensemble = Ensemble()
    teacher: Teacher = Teacher()
    run: Run = Run(steps=200, eval_every=50)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    data, reader = load_labelled_text(config.data, config.tokenizer(assets), assets)
    return classifier(
        config.begin(network(config, reader), assets),
        data,
        reader.names,
        config.optimizer,
        ensemble=config.ensemble,
        teaching=load_teacher(config.teacher, data, assets),
        steps=config.run.total_steps(data.steps_per_epoch),
    )


def network(config: Config, reader: TextReader) -> Model:
    """The model of a config for the texts that a reader encodes."""
    return config.model.classifier(
        len(reader.names),
        vocab_size=reader.vocab_size,
        context=reader.time,
        pooling=config.pooling,
        special=reader.tokenizer.special,
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the class of a text."""
    reader = text_reader(assets)
    model = network(config, reader)
    return class_predictor(model, reader, reader.names, ensemble=config.ensemble)


TINY = (
    "--model.layers=2",
    "--model.width=32",
    "--model.dropout=0",
    "--data.length=32",
    "--data.batch-size=16",
    "--run.steps=60",
)


if __name__ == "__main__":
    main(build, Config())
