"""Do the word vectors say what plain counting says?

    python benchmarks/word2vec.py [any option of experiments/word2vec.py]

Trains ``experiments/word2vec.py`` and compares it with a baseline that trains nothing: the
positive pointwise mutual information of words that stand near each other, with the counts of
contexts to the power of 0.75, and its singular value decomposition at the same width (Levy and
Goldberg, 2014). The figure is Spearman's correlation between the two models' cosine similarities
over all pairs of the most frequent words. Pairs that share a word are not independent, so the
test is Mantel's: in how many of the random renamings of the words in one model is the correlation
as large?
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from sklearn.utils.extmath import randomized_svd

from bigmodel.data.texts.words import load_words
from bigmodel.runtime.command_line import parse
from bigmodel.training.fitting import fit
from bigmodel.training.texts.vectors import cosines

sys.path.insert(0, str(Path(__file__).parent.parent))
from experiments.word2vec import Config, build

WORDS = 300
RENAMINGS = 999


def ppmi_svd(
    tokens: Int[np.ndarray, "tokens"], *, words: int, window: int, width: int
) -> Float[np.ndarray, "word width"]:
    """Vectors by counting; near words count more, as skip-gram draws them more often."""
    counts = np.zeros((words, words))
    for distance in range(1, window + 1):
        pairs = tokens[:-distance].astype(np.int64) * words + tokens[distance:]
        near = np.bincount(pairs, minlength=words * words).reshape(words, words)
        counts += (window + 1 - distance) * (near + near.T)
    context = counts.sum(axis=0) ** 0.75
    expected = counts.sum(axis=1, keepdims=True) * (context / context.sum())[None]
    with np.errstate(divide="ignore"):
        information = np.maximum(np.log(counts / expected), 0)
    left, singular, _ = randomized_svd(information, width, random_state=0)
    return left * np.sqrt(singular)


def mantel(
    first: Float[np.ndarray, "word word"], second: Float[np.ndarray, "word word"], *, renamings: int
) -> tuple[float, float, float]:
    """Spearman's correlation of two similarity matrices, and its test by permutation.

    Returns:
        The correlation, the largest one among the renamings, and the one-sided p-value.
    """
    above = np.triu_indices(len(first), 1)

    def ranks(similarity: np.ndarray) -> np.ndarray:
        ranked = similarity[above].argsort().argsort()
        square = np.zeros(similarity.shape)
        square[above] = (ranked - ranked.mean()) / (ranked.std() * np.sqrt(len(ranked)))
        return square + square.T

    one, other = ranks(first), ranks(second)
    observed = float((one * other).sum() / 2)
    random = np.random.default_rng(0)
    found = np.empty(renamings)
    for n in range(renamings):
        order = random.permutation(len(one))
        found[n] = (one[order][:, order] * other).sum() / 2
    p = (1 + np.count_nonzero(found >= observed)) / (1 + renamings)
    return observed, float(found.max()), p


def read_options(arguments: Sequence[str]) -> Config:
    """The config that the options of the experiment make."""
    return parse(Config(), arguments, description=__doc__ or "")


def main() -> None:
    """Trains, counts, and prints the correlation with its test."""
    config = read_options(sys.argv[1:])
    words = load_words(config.data)
    steps = config.run.total_steps(words.data.steps_per_epoch)
    state = fit(build(config), steps=steps, seed=config.seed)
    chosen = np.arange(min(WORDS, len(words.vocabulary)))
    learned = np.asarray(state.evaluated["params"]["centre"]["embedding"], np.float64)
    counted = ppmi_svd(
        words.train,
        words=len(words.vocabulary),
        window=config.data.window,
        width=min(config.model.width, len(words.vocabulary) - 1),
    )
    correlation, chance, p = mantel(
        cosines(learned[chosen]), cosines(counted[chosen]), renamings=RENAMINGS
    )
    print(
        f"{len(words.train)} words, {len(words.vocabulary)} of them different, {steps} steps\n"
        f"Spearman correlation of cosine similarities with PPMI-SVD, over the pairs of the "
        f"{len(chosen)} most frequent words: {correlation:.3f}\n"
        f"Mantel test, {RENAMINGS} renamings: largest by chance {chance:.3f}, p = {p:.4f}"
    )


if __name__ == "__main__":
    main()
