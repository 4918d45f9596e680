"""How much of a reference a summary has: ROUGE (Lin, 2004), by Google's rouge-score."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from bigmodel.data.texts.pair_file import Pair
from bigmodel.experiment import InputError, Measured, Results, scalars
from bigmodel.training.texts.translation import Summary, shown, translations

KINDS = ("rouge1", "rouge2", "rougeL")
"""Common words, common pairs of words, and the longest common subsequence, each as F1."""


def rouge(
    examples: Sequence[Pair], *, decode: Callable[[Int[np.ndarray, "tokens"]], str]
) -> Summary:
    """Summaries with ROUGE, from 0 to 1: the mean of the examples, words reduced to their stems.

    Of several references the nearest counts. Beside each stands ``_lead``, that of the first
    sentence of the source.

    Raises:
        InputError: rouge-score is not installed; said here, before the first step.
    """
    if importlib.util.find_spec("rouge_score") is None:
        raise InputError("ROUGE needs the package rouge-score: pip install -e '.[rouge]'")

    def summarize(measured: Measured) -> Results:
        # Imported here, for it takes a second that training need not spend.
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(KINDS, use_stemmer=True)

        def mean(texts: Sequence[str]) -> dict[str, float]:
            found = [
                scorer.score_multi(example.targets, text)
                for text, example in zip(texts, asked, strict=True)
            ]
            return {kind: float(np.mean([each[kind].fmeasure for each in found])) for kind in KINDS}

        said, asked = translations(measured, examples, decode)
        lead = mean([example.source.partition(". ")[0] for example in asked])
        beside = {f"{kind}_lead": value for kind, value in lead.items()}
        return {**scalars(measured), **mean(said), **beside, "summaries": shown(said, asked)}

    return summarize
