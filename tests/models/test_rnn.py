from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.models.attention.masks import padding_mask
from bigmodel.models.layers.recurrent import Recurrent
from bigmodel.models.rnn import Rnn

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
LENGTHS = np.array([6, 3, 1], np.int32)
SMALL = Rnn(width=4, embedding=3)
NUMBERS = {"sequence": RNG.normal(size=(3, 6, 2)).astype(np.float32), "length": LENGTHS}
TOKENS = {"tokens": RNG.integers(0, 9, size=(3, 6)).astype(np.int32), "length": LENGTHS}
VARIANTS = [
    Rnn(width=4, cell="plain", output="mean"),
    Rnn(width=4, cell="lstm", layers=2, bidirectional=True),
    Rnn(width=4, cell="gru", bidirectional=True, output="every"),
]

each_variant = pytest.mark.parametrize("options", VARIANTS, ids=lambda v: f"{v.cell}-{v.output}")


def make(options, batch, outputs=5):
    model = options.build(outputs, vocab_size=9 if "tokens" in batch else None)
    return model, model.init(KEY, batch)


@pytest.mark.parametrize("batch", [NUMBERS, TOKENS], ids=["numbers", "tokens"])
@pytest.mark.parametrize("output", ["last", "mean", "every"])
@pytest.mark.parametrize("outputs", [5, None])
def test_outputs_have_the_shape_that_is_promised(batch, output, outputs):
    model, variables = make(replace(SMALL, output=output, layers=2), batch, outputs)
    found, updates = model.apply(variables, batch, train=False)
    time = (6,) if output == "every" else ()
    assert found.shape == (3, *time, *((outputs,) if outputs else ()))
    assert found.dtype == jnp.float32
    assert updates == {}


def test_the_network_is_its_layers_one_after_the_other():
    options = replace(SMALL, layers=2, bidirectional=True, cell="lstm")
    model, variables = make(options, NUMBERS)
    params, x = variables["params"], jnp.asarray(NUMBERS["sequence"])
    mask = padding_mask(jnp.asarray(LENGTHS), 6)
    for number in range(2):
        outputs, last = [], []
        for name, reverse in (("forwards", False), ("backwards", True)):
            layer = Recurrent("lstm", 4, jnp.dtype(jnp.float32), reverse)
            output, state = layer.apply({"params": params[f"{name}_{number}"]}, x, mask)
            outputs.append(np.asarray(output))
            last.append(np.asarray(state[0]))
        x = jnp.concatenate(outputs, axis=-1)
    head = {name: np.asarray(value) for name, value in params["head"].items()}
    expected = np.concatenate(last, axis=-1) @ head["kernel"] + head["bias"]
    found = model.apply(variables, NUMBERS, train=False)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    # The last step of each sequence is its own, and the end of the other direction its first.
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(last[0][row], outputs[0][row, length - 1])
        np.testing.assert_array_equal(last[1][row], outputs[1][row, 0])


@each_variant
def test_a_sequence_alone_gives_the_same_as_beside_longer_ones(options):
    model, variables = make(options, NUMBERS)
    together = np.asarray(model.apply(variables, NUMBERS, train=False)[0])
    for row, length in enumerate(LENGTHS):
        one = {"sequence": NUMBERS["sequence"][row : row + 1, :length], "length": LENGTHS[[row]]}
        alone = np.asarray(model.apply(variables, one, train=False)[0])[0]
        expected = together[row, :length] if options.output == "every" else together[row]
        np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-6)
