import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import value
from sklearn.metrics import accuracy_score, log_loss

from bigmodel.training.metrics import accuracy, cross_entropy

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(12, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, 12).astype(np.int32)
BATCH = jax.device_put({"label": LABELS, "weight": np.ones(12, np.float32)})


def test_cross_entropy_equals_scikit_learn() -> None:
    exponentials = np.exp(LOGITS.astype(np.float64))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    expected = log_loss(LABELS, probabilities, labels=range(5))
    assert value(cross_entropy(jnp.asarray(LOGITS), BATCH)) == pytest.approx(expected, rel=1e-6)


def test_accuracy_equals_scikit_learn() -> None:
    expected = accuracy_score(LABELS, LOGITS.argmax(1))
    assert value(accuracy(jnp.asarray(LOGITS), BATCH)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [cross_entropy, accuracy])
def test_a_mixed_example_counts_for_both_of_its_labels_by_their_shares(metric) -> None:
    share = RNG.random(12).astype(np.float32)

    def weighted_by(label, weight):
        return metric(jnp.asarray(LOGITS), jax.device_put({"label": label, "weight": weight})).total

    other = LABELS[::-1].copy()
    expected = weighted_by(LABELS, share) + weighted_by(other, 1 - share)
    mixed = {**BATCH, **jax.device_put({"share": share, "other_label": other})}
    assert value(metric(jnp.asarray(LOGITS), mixed)) == pytest.approx(float(expected) / 12)


@pytest.mark.parametrize("metric", [cross_entropy, accuracy])
def test_padding_never_counts_and_parts_add_up(metric) -> None:
    whole = metric(jnp.asarray(LOGITS), BATCH)
    totals, counts = 0.0, 0.0
    for start in (0, 5, 10):
        rows = np.arange(start, start + 5) % 12
        weight = (np.arange(start, start + 5) < 12).astype(np.float32)
        batch = {"label": LABELS[rows], "weight": weight}
        part = metric(jnp.asarray(LOGITS[rows]), jax.device_put(batch))
        totals, counts = totals + float(part.total), counts + float(part.count)
    assert counts == 12
    assert totals == pytest.approx(float(whole.total), rel=1e-6)
