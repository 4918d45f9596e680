import jax
import numpy as np
import pytest
from formulas import exact

from bigmodel.experiment import Data, InputError
from bigmodel.models.images.vqvae import Vqvae
from bigmodel.training.generative.quantizing import perplexity, quantizing
from bigmodel.training.optimizers import Optimizer

ROWS, RATE = 6, 0.1
IMAGE = np.random.default_rng(0).random((ROWS, 4, 4, 1), np.float32)
BATCH = {"image": IMAGE, "weight": (np.arange(ROWS) < 5).astype(np.float32)}
DATA = Data(lambda *_: BATCH, {"test": [BATCH]}, ROWS, 1, "")
MODEL = Vqvae(8, 3, widths=(4,)).build((4, 4, 1))


def test_a_step_moves_each_code_to_the_mean_of_what_is_next_to_it_as_in_numpy() -> None:
    """By the gradient of ``|sg(z) - e|^2`` alone, for that of the decoder goes past the codes."""
    sgd = Optimizer("sgd", learning_rate=RATE, schedule="constant", momentum=0.0)
    experiment = quantizing(MODEL, sgd, DATA, commitment=0.25, steps=9)
    state = jax.jit(experiment.init)(jax.random.key(0))
    before, _ = MODEL.apply(state.evaluated, BATCH, train=False)
    after, measured, _ = jax.jit(experiment.train_step)(state, BATCH, jax.random.key(1))
    codes = exact(state.params["codebook"]["embedding"])
    tokens, vectors = np.asarray(before.tokens)[:5].ravel(), exact(before.code)[:5].reshape(-1, 3)
    gradient = np.zeros_like(codes)
    np.add.at(gradient, tokens, 2 * (codes[tokens] - vectors) / (5 * 3))
    found = after.params["codebook"]["embedding"]
    np.testing.assert_allclose(found, codes - RATE * gradient, rtol=1e-4, atol=1e-5)
    assert 1 < len(np.unique(tokens)) < len(codes)
    squares = np.square(vectors - codes[tokens]).sum() / (5 * 3)
    restored = 1 / (1 + np.exp(-exact(before.logits)))
    error = np.square(restored - IMAGE)[:5].sum() / 5
    loss = measured["loss"]
    assert loss.total / loss.count == pytest.approx(error + 1.25 * squares, rel=1e-4)


def test_perplexity_is_the_number_of_codes_that_are_used_alike() -> None:
    assert perplexity(np.arange(12).reshape(3, 2, 2) % 4) == pytest.approx(4)
    assert perplexity(np.array([[[5, 5]], [[5, 5]]])) == 1
    shares = np.array([3, 1]) / 4
    assert perplexity(np.array([[[1, 1, 1, 9]]])) == pytest.approx(np.prod(shares**-shares))


@pytest.mark.parametrize("commitment", [-0.1, float("nan")])
def test_a_commitment_that_is_no_weight_is_refused(commitment: float) -> None:
    with pytest.raises(InputError, match=r"^--commitment .* must be 0 or more"):
        quantizing(MODEL, Optimizer(), DATA, commitment=commitment, steps=9)
