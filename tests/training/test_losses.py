import jax.numpy as jnp
import numpy as np
import pytest
from bigmodel.training.losses import cross_entropy, next_token
from sklearn.metrics import accuracy_score, log_loss

from bigmodel.training.metrics import accuracy, bits_per_char

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(12, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, 12).astype(np.int32)
BATCH = {"label": LABELS, "weight": np.ones(12, np.float32)}


def value(mean):
    return float(mean.total / mean.count)


def test_cross_entropy_equals_scikit_learn() -> None:
    exponentials = np.exp(LOGITS.astype(np.float64))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    expected = log_loss(LABELS, probabilities, labels=range(5))
    assert value(cross_entropy(jnp.asarray(LOGITS), BATCH)) == pytest.approx(expected, rel=1e-6)


def test_accuracy_equals_scikit_learn() -> None:
    expected = accuracy_score(LABELS, LOGITS.argmax(1))
    assert value(accuracy(jnp.asarray(LOGITS), BATCH)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [cross_entropy, accuracy])
def test_padding_never_counts_and_parts_add_up(metric) -> None:
    whole = metric(jnp.asarray(LOGITS), BATCH)
    totals, counts = 0.0, 0.0
    for start in (0, 5, 10):
        rows = np.arange(start, start + 5) % 12
        weight = (np.arange(start, start + 5) < 12).astype(np.float32)
        batch = {"label": LABELS[rows], "weight": weight}
        part = metric(jnp.asarray(LOGITS[rows]), batch)
        totals, counts = totals + float(part.total), counts + float(part.count)
    assert counts == 12
    assert totals == pytest.approx(float(whole.total), rel=1e-6)


def test_bits_per_char_is_total_bits_over_total_characters() -> None:
    logits = RNG.normal(size=(2, 3, 4)).astype(np.float32)
    targets = np.array([[0, 1, 2], [3, 3, 0]], np.int32)
    weight = np.array([[1, 1, 0], [1, 1, 1]], np.float32)
    characters = np.array([1, 4, 9, 2], np.float32)
    batch = {"targets": targets, "weight": weight}
    bits, chars = 0.0, 0.0
    for i in range(2):
        for j in range(3):
            p = np.exp(logits[i, j]) / np.exp(logits[i, j]).sum()
            bits -= weight[i, j] * np.log2(p[targets[i, j]])
            chars += weight[i, j] * characters[targets[i, j]]
    found = bits_per_char(characters)(jnp.asarray(logits), batch)
    assert value(found) == pytest.approx(bits / chars, rel=1e-5)
    nats = value(next_token(jnp.asarray(logits), batch)) * 5
    assert nats == pytest.approx(bits * np.log(2), rel=1e-5)
