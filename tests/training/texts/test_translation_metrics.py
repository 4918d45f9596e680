import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sacrebleu

from bigmodel.data.texts.pair_file import Pair
from bigmodel.experiment import InputError, Mean, Rows
from bigmodel.models.texts.translation import Translation
from bigmodel.training.texts.translation import bleu, error_rates, nats, smoothed, token_weights

BATCH = jax.device_put(
    {
        "target_out": np.array([[2, 1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0]], np.int32),
        "target_length": np.array([3, 2, 0], np.int32),
        "weight": np.array([1, 1, 0], np.float32),
    }
)


def translation(seed):
    logits = np.random.default_rng(seed).normal(size=(3, 4, 5)).astype(np.float32)
    return Translation(jnp.asarray(logits), None)


def plain_loss(logits, smoothing):
    """Cross entropy against the smoothed distribution, one token at a time."""
    total, count = 0.0, 0
    for row in range(2):
        for at in range(BATCH["target_length"][row]):
            scores = np.asarray(logits, np.float64)[row, at]
            target = np.full(5, smoothing / 5)
            target[BATCH["target_out"][row, at]] += 1 - smoothing
            total -= target @ (scores - np.log(np.exp(scores).sum()))
            count += 1
    return total, count


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_loss_is_the_formula_on_the_tokens_that_are_no_padding(smoothing):
    given = translation(0)
    loss = smoothed(smoothing)(given, BATCH)
    total, count = plain_loss(given.logits, smoothing)
    np.testing.assert_allclose(loss.total, total, rtol=1e-5)
    assert loss.count == count == 5


def test_nats_are_the_loss_without_smoothing():
    np.testing.assert_allclose(
        nats(translation(1), BATCH).total, plain_loss(translation(1)[0], 0)[0], rtol=1e-5
    )


def test_padding_rows_and_what_follows_the_end_weigh_nothing():
    expected = [[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(token_weights(BATCH), expected)
    dropped = BATCH | {"weight": np.array([0, 1, 0], np.float32)}
    np.testing.assert_array_equal(token_weights(dropped)[0], 0.0)


def test_smoothing_that_is_no_probability_is_refused():
    with pytest.raises(InputError, match="--smoothing"):
        smoothed(1.0)


WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "far"]


def encode(text):
    return np.array([1 + WORDS.index(word) for word in text.split()], np.int32)


def decode(ids):
    end = np.flatnonzero(ids == 0)
    return " ".join(WORDS[each - 1] for each in ids[: end[0] if len(end) else None])


def measured(said, examples):
    """As an evaluation gives it: ids in rows of one length, and the numbers of the examples."""
    ids = np.zeros((len(said), 12), np.int32)
    for row, text in zip(ids, said, strict=True):
        found = encode(text)
        row[: len(found)] = found
    ones = np.ones(len(said), np.float32)
    return {
        "nats": Mean(3.0, 2.0),
        "predicted": Rows(ids, ones),
        "example": Rows(np.array(examples, np.int32), ones),
    }


EXAMPLES = [
    Pair("1", ("the cat sat on a mat",), ""),
    Pair("2", ("the dog ran", "a dog ran far"), ""),
    Pair("3", ("and",), ""),
]


def test_error_rates_are_edits_over_lengths_and_any_right_target_will_do():
    summarize = error_rates(EXAMPLES, encode=encode, decode=decode, names=("token", "sequence"))
    # One word is missing, the second is the other right one, and the third is two words too long.
    result = summarize(measured(["cat sat on a mat", "a dog ran far", "and the cat"], [0, 1, 2]))
    assert result["token"] == pytest.approx((1 + 0 + 2) / (6 + 4 + 1))
    assert result["sequence"] == pytest.approx(2 / 3)
    assert result["nats"] == 1.5
    again = summarize(measured(["and the cat", "", "cat sat on a mat", ""], [2, 1, 0, 2]))
    assert again["token"] == pytest.approx((2 + 3 + 1 + 1) / (1 + 3 + 6 + 1))
    assert again["sequence"] == 1.0


def test_translations_are_shown_with_what_is_right():
    summarize = error_rates(EXAMPLES, encode=encode, decode=decode, names=("token", "sequence"))
    text = summarize(measured(["the dog ran", "and and"], [1, 2]))["translations"]
    assert text.splitlines() == [
        "2", "  said   the dog ran  (right)", "  right  the dog ran", "  right  a dog ran far",
        "3", "  said   and and  (wrong)", "  right  and",
    ]  # fmt: skip


def test_bleu_is_that_of_sacrebleu_on_the_whole_split():
    said = ["the cat sat on a mat and ran", "the dog ran far", "and"]
    result = bleu(EXAMPLES, decode=decode)(measured(said, [0, 1, 2]))
    expected = sacrebleu.corpus_bleu(said, [[pair.targets[0] for pair in EXAMPLES]]).score
    assert result["bleu"] == expected
    assert 0 < expected < 100


def test_bleu_without_sacrebleu_is_refused_before_the_first_step(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(InputError, match=re.escape("pip install -e '.[bleu]'")):
        bleu(EXAMPLES, decode=decode)


def test_summaries_of_nothing_do_not_fail():
    empty = measured(["", ""], [0, 0])
    for summarize in (
        error_rates(EXAMPLES, encode=encode, decode=decode, names=("token", "sequence")),
        bleu(EXAMPLES, decode=decode),
    ):
        assert summarize(empty)["nats"] == 1.5
