r"""An encoder labels the words of a sentence, and so finds entities in it (Devlin et al., 2019).

    python experiments/tagging.py   # 3 min on 2 shared cores, F1 of entities 0.819
    python experiments/tagging.py --data.path train.conll --data.test-path test.conll

By default it finds out what kind of token each word of Python's own source is of, with nothing but
words to see: strings and comments are entities of many words, of which a comment has names and
keywords, and the one quotation mark is at the beginning and the other at the end. `tokenize` says
what is right. `test/f1` counts an entity where its kind and both its ends are right, as seqeval
does; the most frequent label of each word has 0.496 (`benchmarks/tagging.py`). Names and keywords
have 0.94, comments 0.44 and strings 0.33, of which one may be very long.

Answers tell words by their tokens. With `--data.tokenizer word` these are in small letters, and
`<unknown>` where training had no such word; a word is then known by its place in the sentence, as
`first` and `end` of an entity are.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import TaggedData, TagReader, load_tagged, tag_reader
from bigmodel.experiment import Assets, Experiment, Model
from bigmodel.models import Bert
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, tag_predictor, tagger


@dataclass(frozen=True)
class Config(Settings):
    """A tagger of words and how it is trained."""

    data: TaggedData = TaggedData()
    model: Bert = Bert(layers=2, dropout=0.1)
    optimizer: Optimizer = Optimizer(
        "muon", learning_rate=1e-2, warmup_steps=50, momentum=0.95, weight_decay=0.1, eps=1e-6
    )
    run: Run = Run(steps=300, eval_every=100)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    data, reader = load_tagged(config.data, config.tokenizer(assets), assets)
    return tagger(
        config.begin(network(config, reader), assets),
        data,
        reader.labels,
        config.optimizer,
        steps=config.run.total_steps(data.steps_per_epoch),
    )


def network(config: Config, reader: TagReader) -> Model:
    """The model of a config for the sentences that a reader encodes."""
    return config.model.tagger(
        len(reader.labels),
        vocab_size=reader.tokenizer.vocab_size,
        context=reader.time,
        special=reader.tokenizer.special,
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the labels of words, and the entities among them."""
    reader = tag_reader(assets)
    return tag_predictor(network(config, reader), reader)


TINY = (
    "--model.layers=1",
    "--model.width=32",
    "--model.dropout=0",
    "--data.vocab-size=512",
    "--data.length=32",
    "--data.batch-size=16",
    "--data.validation=0.01",
    "--data.test=0.01",
    "--run.steps=60",
)


if __name__ == "__main__":
    main(build, Config())
