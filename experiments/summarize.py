r"""An encoder-decoder that copies sums up texts (Vaswani et al., 2017; See et al., 2017).

    python experiments/summarize.py   # 5.3 min on 2 shared cores, ROUGE-L 0.191
    python experiments/summarize.py --data.path TEXTS.tsv   # TEXT<tab>SUMMARY

By default it writes the first line of a docstring of NumPy, SciPy and other packages, from what
follows that line; no summary is in two parts of the data. ROUGE-1, 2 and L (`test/rouge1` and so
on, from 0 to 1) are those of rouge-score; `test/rougeL_lead`, 0.170, is that of the first sentence
of what it reads, which has more single words of the summary, 0.211, than the model, 0.206. Without
copying, `--model.no-copy`, ROUGE-L is 0.152.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import PairData, load_pairs, pair_reader
from bigmodel.experiment import Assets, Experiment
from bigmodel.models import Beam, Transformer
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, by_rouge, sequence_to_sequence, translation_predictor


@dataclass(frozen=True)
class Config(Settings):
    """An encoder-decoder, how it is trained, and how it searches for summaries."""

    data: PairData = PairData(
        "docstrings", shared=True, vocab_size=2048, max_source=96, max_target=32, long="cut",
        batch_size=64,
    )  # fmt: skip
    model: Transformer = Transformer(layers=2, copy=True)
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
        judge=by_rouge,
        begin=lambda model: config.begin(model, assets),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the summary of a text."""
    return translation_predictor(config.model, pair_reader(assets), beam=config.beam)


TINY = (
    "--model.layers=1", "--model.width=32", "--model.heads=2", "--model.dropout=0",
    "--data.vocab-size=512", "--data.batch-size=32", "--data.validation=0.005", "--data.test=0.005",
    "--data.max-source=24", "--data.max-target=12", "--optimizer.name=adamw",
    "--optimizer.learning-rate=3e-3", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
