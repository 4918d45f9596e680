"""Tokens that are copied from the source, by the formula of the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial
from rare import rare

from bigmodel.models.texts.beam import BOUNDARY, Beam
from bigmodel.models.texts.copying import Copying
from bigmodel.models.texts.transformer import Transformer

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


def test_probabilities_are_mixed_with_the_attention_to_each_token_of_the_source():
    copying = Copying(4, jnp.dtype("float32"))
    arrays = normal(2, 5, 4), normal(2, 3, 4), normal(2, 3, 7)
    tokens = np.array([[3, 1, 3, 0, 6], [2, 2, 0, 5, 5]], np.int32)
    mask = np.arange(5)[None, None] < np.array([4, 3])[:, None, None]

    def mixed(module):
        encoded, h, logits = arrays
        return module(logits, h, module.source(encoded, jnp.asarray(tokens), jnp.asarray(mask)))

    variables = initial(lambda key: copying.init(key, method=mixed), jax.random.key(0))
    found = np.exp(jax.jit(lambda v: copying.apply(v, method=mixed))(variables))
    params = jax.tree.map(np.asarray, variables["params"])
    encoded, h, logits = (np.asarray(each) for each in arrays)
    query, keys = h @ params["query"]["kernel"], encoded @ params["key"]["kernel"]
    switch = h @ params["switch"]["kernel"] + params["switch"]["bias"]
    for row in range(2):
        for at in range(3):
            scores = np.exp(keys[row] @ query[row, at] / 2) * mask[row, 0]
            generate = 1 / (1 + np.exp(-switch[row, at, 0]))
            expected = generate * np.exp(logits[row, at]) / np.exp(logits[row, at]).sum()
            for place, weight in enumerate(scores / scores.sum()):
                expected[tokens[row, place]] += (1 - generate) * weight
            np.testing.assert_allclose(found[row, at], expected, rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("beams", [rare(1), 3])
def test_a_decoder_that_only_copies_says_what_the_logits_of_the_whole_say(beams):
    options = Transformer(layers=1, width=16, heads=2, dropout=0.0, copy=True)
    beam = Beam(beams, length_penalty=0.0)
    translator = options.build(source_vocab=40, target_vocab=40, length=5, beam=beam)
    batch = {
        "source": np.array([[7, 31, 12, 0], [9, 0, 0, 0]], np.int32),
        "source_length": np.array([4, 2], np.int32),
        "target_in": np.zeros((2, 5), np.int32),
    }
    variables = initial(translator.model.init, jax.random.key(0), batch)
    variables["params"]["copying"]["switch"]["bias"] -= 50.0
    variables["params"]["copying"]["query"]["kernel"] *= 20.0
    apply = jax.jit(lambda batch: translator.model.apply(variables, batch, train=False)[0])
    said = np.asarray(apply(batch).predicted)
    for row, tokens in enumerate(batch["source"]):
        assert set(said[row]) <= {*tokens, BOUNDARY}
    if beams == 1:
        read = np.pad(said[:, :-1], ((0, 0), (1, 0)))
        best = np.argmax(apply(batch | {"target_in": read}).logits, axis=-1)
        real = np.cumsum(said == BOUNDARY, axis=1) <= (said == BOUNDARY)
        np.testing.assert_array_equal(said[real], best[real])
