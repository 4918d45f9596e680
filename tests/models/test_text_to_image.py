import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial

from bigmodel.experiment import InputError
from bigmodel.models import Gpt, Sampling, TextToImage, Vqvae
from bigmodel.models.text_to_image import CODES

WORDS, TIME = 5, 2
NETWORK = TextToImage(
    Gpt(layers=1, width=16, heads=2), Vqvae(6, 3, widths=(4,)), (4, 4, 1), words=WORDS, time=TIME
)
BATCH = {
    "image": jnp.asarray(np.random.default_rng(0).random((3, 4, 4, 1)), jnp.float32),
    "tokens": jnp.array([[1, 4], [2, 0], [0, 3]], jnp.int32),
    "length": jnp.array([2, 1, 2], jnp.int32),
    "seed": jnp.zeros(3, jnp.uint32),
}
TEXTS = np.array([[7, 10], [8, 11], [6, 9]])
"""The codes come first, then the words, then what fills up."""


def test_each_code_is_foretold_and_drawn_from_the_text_and_the_codes_before_it() -> None:
    model = NETWORK.build()
    variables = initial(model.init, jax.random.key(0), BATCH)
    text, codes = ({"params": variables["params"][name]} for name in ("text", CODES))
    transformer = NETWORK.gpt.build(**NETWORK.sizes)
    forward = jax.jit(lambda tokens: transformer.apply(text, {"tokens": tokens}, train=False)[0])
    encoder, decoder = NETWORK.codebook.halves(NETWORK.shape)

    targets = np.asarray(encoder.apply(codes, BATCH, train=False)[0]).reshape(3, 4)
    found, _ = model.apply(variables, BATCH, train=False)
    sequence = np.concatenate([TEXTS, targets], axis=1).astype(np.int32)
    expected = forward(sequence[:, :-1])[:, TIME - 1 :, :6]
    np.testing.assert_array_equal(found.targets, targets)
    np.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-5)

    for at in range(TIME, TIME + 4):
        sequence[:, at] = forward(sequence[:, :-1])[:, at - 1, :6].argmax(-1)
    grid = {"token": jnp.asarray(sequence[:, TIME:].reshape(3, 2, 2))}
    logits, _ = decoder.apply(codes, grid, train=False)
    drawn = jax.jit(NETWORK.drawer(Sampling(temperature=0)))(variables, BATCH)
    np.testing.assert_allclose(drawn, jax.nn.sigmoid(logits), rtol=1e-4, atol=1e-5)


def test_a_codebook_that_is_given_is_what_it_begins_with() -> None:
    encoder, _ = NETWORK.codebook.halves(NETWORK.shape)
    learned = initial(encoder.init, jax.random.key(7), BATCH)["params"]
    found = initial(NETWORK.build(learned).init, jax.random.key(0), BATCH)["params"][CODES]
    jax.tree.map(np.testing.assert_array_equal, found, learned)


def test_experts_are_refused() -> None:
    with pytest.raises(InputError, match=r"^--model.experts "):
        NETWORK._replace(gpt=Gpt(experts=2, experts_per_token=1)).build()
