r"""Transformer from sequence to sequence (Vaswani et al., 2017).

Spelling to phonemes, on the tenth of the CMU dictionary's words that is held out. In 2.5 min on
2 cores it has a phoneme error rate of 14.8 %. The second command has 7.5 % of the phonemes
and 30.4 % of the words, in 16 min on 2 shared cores; with `--run.steps 2200` 6.9 and 28.4 %:

    python experiments/transformer.py
    python launch.py run experiments/transformer.py --devices 2 -- --data.long drop \
        --data.max-source 20 --data.max-target 20 --data.batch-size 256 --data.validation 0.01 \
        --model.layers 3 --model.dropout 0 --model.activation squared_relu --run.steps 1500 \
        --run.eval-every 1500

Your own sentences, a file with tabs between its columns, judged by BLEU (11.3 on five whole books
of a Bible that were held out, after 600 steps; `benchmarks/results.md` has the command):

    python experiments/transformer.py --data.path PAIRS.tsv
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import PairData, load_pairs, pair_reader
from bigmodel.experiment import Assets, Experiment
from bigmodel.models import Beam, Transformer
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, sequence_to_sequence, translation_predictor


@dataclass(frozen=True)
class Config(Settings):
    """An encoder-decoder, how it is trained, and how it translates."""

    data: PairData = PairData(batch_size=128)
    model: Transformer = Transformer(layers=2, dropout=0.0)
    optimizer: Optimizer = Optimizer(
        "muon", learning_rate=5e-3, momentum=0.95, warmup_steps=50, eps=1e-6
    )
    smoothing: float = 0.1
    """share of each training target that all tokens have alike (Szegedy et al., 2016)"""
    beam: Beam = Beam()
    run: Run = Run(steps=300, eval_every=150, best="validation/nats")


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    pairs = load_pairs(config.data, assets)
    return sequence_to_sequence(
        config.model,
        pairs,
        config.optimizer,
        beam=config.beam,
        smoothing=config.smoothing,
        steps=config.run.total_steps(pairs.data.steps_per_epoch),
        begin=lambda model: config.begin(model, assets),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the target of a source."""
    return translation_predictor(config.model, pair_reader(assets), beam=config.beam)


TINY = (
    "--model.layers=1", "--model.width=32", "--model.heads=2", "--data.batch-size=32",
    "--data.validation=0.001", "--data.test=0.001", "--data.long=cut", "--data.max-source=10",
    "--data.max-target=10", "--optimizer.name=adamw", "--optimizer.learning-rate=3e-3",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
