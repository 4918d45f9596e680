import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_gpt import (
    CONTEXT,
    GPT2,
    TINY,
    VOCAB,
    built,
    logits_of,
    shapes_of,
    tokens,
)

from bigmodel.experiment import InputError
from bigmodel.models.texts.gpt import Gpt


@pytest.mark.parametrize("changes", [{}, GPT2, {"experts": 2, "kv_heads": 1}], ids=str)
def test_a_stack_of_blocks_is_the_same_network(changes):
    options = Gpt(**TINY, **changes)
    stacked = dataclasses.replace(options, scan=True)
    _, variables = built(options)
    params = dict(variables["params"])
    blocks = [params.pop(f"blocks_{layer}") for layer in range(options.layers)]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    params["blocks"] = {"stacked": stack}
    found = logits_of(stacked, {"params": params}, tokens())
    expected = logits_of(options, variables, tokens())
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal_shapes(shapes_of(stacked), params)


def test_a_stack_generates_with_its_caches_what_it_says_without():
    options = Gpt(**TINY, scan=True, window=4)
    _, variables = built(options)
    decoder = options.decoder(vocab_size=VOCAB, context=CONTEXT)
    extend, memory, found = jax.jit(decoder.decode_step), decoder.empty(2), []
    for part in jnp.split(tokens(), (3, 4), axis=1):
        logits, memory = extend(variables["params"], part, memory)
        found.append(logits)
    expected = logits_of(options, variables, tokens())
    np.testing.assert_allclose(jnp.concatenate(found, axis=1), expected, rtol=1e-4, atol=1e-5)


def test_microbatches_that_do_not_divide_a_batch_are_refused():
    with pytest.raises(InputError, match=r"--model.microbatches 3 does not divide the batch of 2"):
        built(Gpt(**TINY, scan=True, microbatches=3))
