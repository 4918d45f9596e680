import jax
import numpy as np

from bigmodel.training.texts.negative_sampling import negative_sampling, ranked


def example():
    random = np.random.default_rng(0)
    batch = {
        "context": np.array([3, 1, 2, 0], np.int32),
        "negatives": np.array([[1, 3, 2], [0, 2, 3], [2, 2, 1], [1, 1, 1]], np.int32),
        "weight": np.array([1, 1, 1, 0], np.float32),
    }
    logits = {
        "context": random.normal(size=4).astype(np.float32),
        "negatives": random.normal(size=(4, 3)).astype(np.float32),
    }
    return logits, batch


def test_loss_is_the_formula_without_padding_and_without_the_context_as_a_negative():
    logits, batch = example()
    total = 0.0
    for row in range(3):
        total += np.log1p(np.exp(-logits["context"][row]))
        for negative, logit in zip(batch["negatives"][row], logits["negatives"][row], strict=True):
            if negative != batch["context"][row]:
                total += np.log1p(np.exp(logit))
    loss = negative_sampling(*jax.device_put((logits, batch)))
    np.testing.assert_allclose(loss.total, total, rtol=1e-6)
    assert float(loss.count) == 3


def test_ranked_is_the_share_of_negatives_below_the_context():
    logits, batch = example()
    pairs = [
        logits["negatives"][row, n] < logits["context"][row]
        for row in range(3)
        for n in range(3)
        if batch["negatives"][row, n] != batch["context"][row]
    ]
    found = ranked(*jax.device_put((logits, batch)))
    assert len(pairs) == 6
    assert (float(found.total), float(found.count)) == (sum(pairs), 6)


def test_a_padded_row_and_a_negative_that_is_the_context_have_no_gradient():
    logits, batch = example()
    gradient = jax.grad(lambda x: negative_sampling(x, jax.device_put(batch)).total)(logits)
    np.testing.assert_array_equal(gradient["negatives"][3], 0)
    assert float(gradient["context"][3]) == 0
    np.testing.assert_array_equal(
        np.asarray(gradient["negatives"]) == 0,
        (batch["negatives"] == batch["context"][:, None]) | (batch["weight"] == 0)[:, None],
    )
