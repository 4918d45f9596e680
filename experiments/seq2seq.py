r"""Recurrent encoder-decoder with attention (Bahdanau et al., 2015; Luong et al., 2015).

Spelling to phonemes, on the tenth of the CMU dictionary's words that is held out. On 2
cores 2.5 min, phoneme error rate 13.2 %; longer, in 21 min (10 of processor time), 7.6 % of the
phonemes and 31.2 % of the words:

    python experiments/seq2seq.py
    python experiments/seq2seq.py --data.long drop --data.max-source 20 --data.max-target 20 \
        --data.batch-size 256 --data.validation 0.01 --model.dropout 0 --run.steps 2200 \
        --run.eval-every 1100

Your own pairs, a file with tabs between its columns:

    python experiments/seq2seq.py --data.path PAIRS.tsv
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import PairData, load_pairs, pair_reader
from bigmodel.experiment import Assets, Experiment
from bigmodel.models import Beam, Seq2Seq
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, sequence_to_sequence, translation_predictor


@dataclass(frozen=True)
class Config(Settings):
    """An encoder-decoder, how it is trained, and how it translates."""

    data: PairData = PairData(batch_size=128)
    model: Seq2Seq = Seq2Seq(dropout=0.0)
    optimizer: Optimizer = Optimizer(
        "muon", learning_rate=5e-3, momentum=0.95, warmup_steps=50, eps=1e-6
    )
    smoothing: float = 0.1
    """share of each training target that all tokens have alike (Szegedy et al., 2016)"""
    beam: Beam = Beam()
    run: Run = Run(steps=500, eval_every=250, best="validation/nats")


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
    "--model.layers=1", "--model.width=32", "--data.batch-size=32",
    "--data.validation=0.001", "--data.test=0.001", "--data.long=cut", "--data.max-source=10",
    "--data.max-target=10", "--optimizer.name=adamw", "--optimizer.learning-rate=3e-3",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
