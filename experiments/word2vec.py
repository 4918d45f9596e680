r"""Word vectors by skip-gram with negative sampling (Mikolov et al., 2013).

    python experiments/word2vec.py   # Python's help texts: 0.3 min on 2 cores

Its similarities agree with those of counted words (PPMI and SVD): Spearman's correlation over the
pairs of the 300 most frequent words is 0.71, and at most 0.04 in 999 random renamings of the words
(p = 0.001): ``python benchmarks/word2vec.py``.

Any other text, a larger one with a smaller penalty:

    python experiments/word2vec.py --data.path austen.txt --data.batch-size 4096 \
        --optimizer.l2 1e-5 --run.steps 2500
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bigmodel.data import WordData, Words, load_words, word_reader
from bigmodel.experiment import Assets, Experiment, Shown, Variables
from bigmodel.figures.scatter import draw_scatter
from bigmodel.models import SkipGram
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Optimizer,
    negative_sampling,
    neighbours,
    principal_plane,
    ranked,
    supervised,
    word_predictor,
)


@dataclass(frozen=True)
class Show:
    """What a person looks at of the vectors."""

    words: int = 10
    """so many of the most frequent words have their nearest neighbours listed"""
    letters: int = 5
    """only words of so many letters are listed and drawn: shorter ones are mostly grammar"""
    neighbours: int = 6
    """how many neighbours of each"""
    points: int = 120
    """how many words are drawn in the plane of the two largest principal components"""


@dataclass(frozen=True)
class Config(Settings):
    """Word vectors and how they are trained."""

    data: WordData = WordData()
    model: SkipGram = SkipGram()
    optimizer: Optimizer = Optimizer("adam", learning_rate=5e-3, l2=1e-4, eps=1e-6)
    show: Show = Show()
    run: Run = Run(steps=4000, log_every=200, eval_every=1000)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    words = load_words(config.data, assets)
    return supervised(
        config.begin(config.model.build(len(words.vocabulary)), assets),
        negative_sampling,
        {"ranked": ranked},
        config.optimizer,
        words.data,
        steps=config.run.total_steps(words.data.steps_per_epoch),
        show=shower(config.show, words),
        maximize={"ranked"},
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the vector of a word or of a sum of words, and what is near."""
    del config
    return word_predictor(word_reader(assets))


def shower(options: Show, words: Words) -> Callable[[Variables], Shown]:
    """The nearest neighbours of frequent words, and where they lie in a plane."""
    vocabulary = words.vocabulary
    long = [n for n, word in enumerate(vocabulary) if len(word) >= options.letters]
    long = long or list(range(len(vocabulary)))
    drawn = long[: options.points]

    def show(variables: Variables) -> Shown:
        vectors = np.asarray(variables["params"]["centre"]["embedding"], np.float32)
        near = neighbours(vectors, long[: options.words], count=options.neighbours)
        lines = [
            f"{vocabulary[word]}: {', '.join(vocabulary[other] for other in others)}"
            for word, others in zip(long, near, strict=False)
        ]
        points, share = principal_plane(vectors[drawn])
        picture = partial(
            draw_scatter,
            points,
            x=f"first principal component ({share[0]:.0%} of the variance)",
            y=f"second principal component ({share[1]:.0%})",
            texts=[vocabulary[word] for word in drawn],
        )
        return {"neighbours": "\n".join(lines), "words": picture}

    return show


TINY = (
    "--model.width=16", "--data.batch-size=128", "--data.minimum-count=50", "--show.points=20",
    "--data.validation=0.01", "--data.test=0.01", "--optimizer.learning-rate=0.03",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
