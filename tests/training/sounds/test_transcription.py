"""Connectionist temporal classification and its search, held against sums over all ways."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import Mean, Rows
from bigmodel.training.sounds.beam import beam_search, best_path
from bigmodel.training.sounds.transcription import ctc, error_report, written


def collapsed(path):
    return tuple(letter for letter, _ in itertools.groupby(path) if letter)


def of_texts(nats):
    """The probability of each text: the sum over all ways to place its letters."""
    moments, letters = nats.shape
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(letters), repeat=moments):
        weight = np.exp(sum(nats[at, letter] for at, letter in enumerate(path)))
        found[collapsed(path)] = found.get(collapsed(path), 0) + weight
    return found


def drawn(seed, moments=5, letters=3):
    logits = np.random.default_rng(seed).normal(size=(moments, letters)) * 1.5
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("seed", range(5))
def test_the_search_finds_the_likeliest_text_and_its_probability(seed):
    nats = drawn(seed)
    expected = of_texts(nats)
    text, logarithm = beam_search(nats, width=1000)
    assert text == max(expected, key=lambda each: expected[each])
    assert np.exp(logarithm) == pytest.approx(expected[text])
    # A narrow beam keeps no more than there is.
    narrow, less = beam_search(nats, width=2)
    assert less <= np.log(expected[narrow]) + 1e-9


def test_the_loss_is_the_sum_over_all_ways():
    logits = np.stack([drawn(7), drawn(8), drawn(9)]).astype(np.float32)
    batch = {
        "letters": np.array([[1, 1, 0], [2, 1, 2], [1, 0, 0]], np.int32),
        "length": np.array([9, 10, 7], np.int32),
        "weight": np.array([1, 1, 0], np.float32),
    }
    loss = ctc(jnp.asarray(logits), batch)
    expected = [-np.log(of_texts(drawn(7))[(1, 1)]), -np.log(of_texts(drawn(8))[(2, 1, 2)])]
    assert loss.count == 2
    assert loss.total == pytest.approx(sum(expected), rel=1e-4)
    # What is beyond the last moment of a recording does not count.
    alone = {name: array[2:] for name, array in batch.items()} | {"weight": np.ones(1, np.float32)}
    assert ctc(jnp.asarray(logits[2:]), alone).total == pytest.approx(
        -np.log(of_texts(drawn(9)[:4])[(1,)]), rel=1e-4
    )
    gradient = jax.grad(lambda of: ctc(of, batch).total)(jnp.asarray(logits))
    assert jnp.isfinite(gradient).all()


def test_errors_are_the_edits_of_the_likeliest_letters():
    best = np.array([[0, 1, 1, 0, 1, 2], [2, 2, 0, 3, 3, 1]], np.int32)
    assert [row.tolist() for row in best_path(best, np.array([6, 5]))] == [[1, 1, 2], [2, 3]]
    values = {
        "best": best,
        "moments": np.array([6, 5], np.int32),
        "letters": np.array([[1, 1, 2, 0], [2, 3, 1, 1]], np.int32),
    }
    measured = {"loss": Mean(1.0, 2.0), "written": Rows(values, np.ones(2))}
    report = error_report(measured)
    assert report["label_error_rate"] == 2 / 7
    assert report["recording_error_rate"] == 0.5


def test_what_is_written_is_the_largest_logit_of_each_moment():
    logits = jnp.asarray(drawn(3)[None], jnp.float32)
    rows = written(logits, {"length": np.array([9]), "letters": np.array([[1]])})
    np.testing.assert_array_equal(rows["best"][0], np.asarray(logits[0]).argmax(-1))
    assert rows["moments"].tolist() == [5]
