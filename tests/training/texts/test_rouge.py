"""ROUGE of a model's own summaries."""

import re
import sys

import numpy as np
import pytest
from test_translation_metrics import EXAMPLES, decode, measured

from bigmodel.data.texts.pair_file import Pair
from bigmodel.experiment import InputError
from bigmodel.training.texts.rouge import KINDS, rouge


def overlap(one, other):
    """F1 of the words that both have, each as often as in both."""
    one, other = one.split(), other.split()
    common = sum(min(one.count(word), other.count(word)) for word in set(one))
    return 2 * common / (len(one) + len(other)) if common else 0.0


def test_rouge_is_the_mean_overlap_with_the_nearest_reference():
    pytest.importorskip("rouge_score")
    said = ["the cat sat", "a dog ran far and", "on"]
    found = rouge(EXAMPLES, decode=decode)(measured(said, [0, 1, 2]))
    best = [
        max(overlap(text, target) for target in example.targets)
        for text, example in zip(said, EXAMPLES, strict=True)
    ]
    assert found["rouge1"] == pytest.approx(np.mean(best))
    # All are in the order of the reference.
    assert found["rougeL"] == pytest.approx(found["rouge1"])
    assert 0 < found["rouge2"] < found["rouge1"]
    assert found["nats"] == 1.5


def test_the_first_sentence_of_the_source_is_judged_beside_it():
    pytest.importorskip("rouge_score")
    examples = [Pair("the cat sat. and ran far", ("the cat sat",), "")]
    found = rouge(examples, decode=decode)(measured(["dog"], [0]))
    assert [found[kind] for kind in KINDS] == [0, 0, 0]
    assert [found[f"{kind}_lead"] for kind in KINDS] == [1, 1, 1]


def test_rouge_without_its_package_is_refused_before_the_first_step(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(InputError, match=re.escape("pip install -e '.[rouge]'")):
        rouge(EXAMPLES, decode=decode)
