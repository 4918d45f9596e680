"""Kernels of few bits: how they round, what they keep, how they are packed and read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import Model
from bigmodel.quantized import MOST, quantized, restored, rounded_inputs
from bigmodel.training.compression.awareness import Quantization, aware, rounded
from bigmodel.training.compression.reading import reading
from bigmodel.tree import named_leaves, nested

RNG = np.random.default_rng(0)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


# The path of a parameter, its shape, and the axes over which all share a scale.
KERNELS = {
    "dense/kernel": ((16, 10), (0,)),
    "odd/kernel": ((16, 9), (0,)),
    "conv/kernel": ((3, 3, 4, 6), (0, 1, 2)),
    "words/embedding": ((11, 8), (1,)),
    "blocks/stacked/query/kernel": ((2, 16, 10), (1,)),
    "members/words/embedding": ((2, 11, 8), (2,)),
}
VARIABLES = {
    "params": nested({path: normal(*shape) for path, (shape, _) in KERNELS.items()})
    | {"norm": {"bias": normal(7), "scale": normal(7)}, "thin": {"kernel": normal(1, 30)}},
    "batch_stats": {"norm": {"mean": normal(7)}},
}


@pytest.mark.parametrize("bits", MOST)
def test_each_channel_is_rounded_to_steps_of_its_largest_magnitude(bits) -> None:
    small = quantized(VARIABLES, bits)
    found, before = named_leaves(restored(small)["params"]), named_leaves(VARIABLES["params"])
    assert {path: leaf.shape for path, leaf in found.items()} == {
        path: leaf.shape for path, leaf in before.items()
    }
    for path, leaf in before.items():
        if path not in KERNELS:  # Few bits and scales would be no less.
            np.testing.assert_array_equal(found[path], leaf)
            continue
        step = np.abs(leaf).max(axis=KERNELS[path][1], keepdims=True) / MOST[bits]
        whole = np.rint(np.asarray(leaf) / step)
        np.testing.assert_allclose(found[path], whole * step, rtol=1e-6)
    assert small["batch_stats"] is VARIABLES["batch_stats"]


def test_four_bits_are_two_in_a_byte() -> None:
    small = named_leaves(quantized(VARIABLES, "int4")["params"])
    assert small["odd/kernel/int4"].shape == (16, 5)
    assert small["words/embedding/int4"].shape == (6, 8)
    assert {leaf.dtype.name for path, leaf in small.items() if path.endswith("int4")} == {"uint8"}


def test_zeros_and_what_a_pattern_keeps_stay() -> None:
    kernel = normal(16, 10).at[:, 3].set(0).at[5].set(0)
    given = {"params": {"head": {"kernel": kernel}, "dense": {"kernel": kernel}}}
    small = quantized(given, "int8", keep=["head"])
    assert small["params"]["head"]["kernel"] is kernel
    assert not np.asarray(restored(small)["params"]["dense"]["kernel"])[kernel == 0].any()


def test_inputs_of_eight_bits_are_products_of_integers() -> None:
    ends, x, kernel = jnp.asarray([-1.3, 4.0], jnp.float32), normal(5, 16), normal(16, 10)
    step = 5.3 / 255
    zero = np.rint(1.3 / step)
    whole = np.clip(np.rint(np.asarray(x) / step) + zero, 0, 255).astype(np.int32) - int(zero)
    scale = np.abs(kernel).max(axis=0) / 127
    integers = np.rint(np.asarray(kernel) / scale).astype(np.int32)
    small = quantized({"params": {"kernel": kernel}}, "int8")
    found = rounded_inputs(x, ends) @ restored(small)["params"]["kernel"]
    np.testing.assert_allclose(found, (whole @ integers) * step * scale, rtol=1e-4, atol=1e-5)
    # As paddings are, 0 is one of the steps.
    assert rounded_inputs(jnp.zeros(1), ends)[0] == 0


def test_a_function_of_variables_reads_those_of_few_bits() -> None:
    def double(variables, factor):
        return variables["params"]["dense"]["kernel"] * factor

    small = quantized(VARIABLES, "int8")
    found = jax.jit(reading(double))(small, 2.0)
    np.testing.assert_array_equal(found, 2 * restored(small)["params"]["dense"]["kernel"])


@pytest.mark.parametrize("bits", MOST)
def test_a_network_that_knows_of_its_bits_has_gradients_straight_through_them(bits) -> None:
    def apply(variables, batch, **_):
        return jnp.sum(jnp.square(batch["x"] @ variables["params"]["dense"]["kernel"])), {}

    model = Model(lambda *_: VARIABLES, apply, ())
    options, batch = Quantization(weights=bits), {"x": normal(4, 16)}

    def loss(model, variables):
        return model.apply(variables, batch, train=True)[0]

    low = restored(quantized(VARIABLES, bits))
    found = jax.value_and_grad(lambda v: loss(aware(model, options), v))(VARIABLES)
    expected = jax.value_and_grad(lambda v: loss(model, v))(low)
    np.testing.assert_array_equal(found[0], expected[0])
    jax.tree.map(np.testing.assert_array_equal, found[1], expected[1])
    # What it has learned is then of that many bits.
    jax.tree.map(np.testing.assert_array_equal, rounded(VARIABLES, options), low)
    small = quantized(VARIABLES, bits)
    jax.tree.map(np.testing.assert_array_equal, rounded(small, options), small)
