"""Layers are read and changed where they stand, whatever runs them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import exact
from initial import initial
from stacking import stacked as as_stack

from bigmodel.models.attention.positions import Rotary
from bigmodel.models.images.vit import Vit
from bigmodel.models.taps import layers, tapped
from bigmodel.models.texts.gpt import Gpt
from bigmodel.training.ensemble import Ensemble, classifiers

TIME = 6
CAUSAL = Gpt(
    layers=2, width=16, heads=4, kv_heads=2, window=3, global_tokens=1, rotary=Rotary(base=100.0)
)


def of(model):
    return functools.partial(lambda *given: model.apply(*given, train=False, key=None)[0])


def read(model, variables, batch, **taps):
    """What is tapped, compiled as one: the paths of a jitted mapping are in order."""
    return jax.jit(lambda *given: tapped(of(model), *given, **taps))(variables, batch)


@pytest.fixture(scope="module")
def gpt():
    batch = {"tokens": jax.random.randint(jax.random.key(0), (2, TIME), 0, 11, jnp.int32)}
    model = CAUSAL.build(vocab_size=11, context=TIME)
    return model, initial(model.init, jax.random.key(1), batch), batch


def test_causal_weights_are_those_that_the_layer_mixes_its_values_with(gpt):
    model, variables, batch = gpt
    found = read(model, variables, batch, weights=True)
    assert list(found.weights) == ["blocks_0/attention", "blocks_1/attention"]
    for path, weights in found.weights.items():
        assert weights.shape == (2, TIME, 4, TIME)
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
        at = np.arange(TIME)
        seen = (at[:, None] >= at) & ((at[:, None] < at + 3) | (at < 1))
        assert (np.asarray(weights) > 0).any(axis=(0, 2)).tolist() == seen.tolist()
        block, _ = path.split("/")
        params = variables["params"][block]["attention"]
        normed = np.asarray(found.layers[f"{block}/norm_attention"], np.float64)
        values = normed @ exact(params["value"]["kernel"])
        # Each two heads of queries share one of values.
        heads = values.reshape(2, TIME, 2, 4).repeat(2, axis=2)
        mixed = np.einsum("bths,bshd->bthd", exact(weights), heads).reshape(2, TIME, 16)
        expected = mixed @ exact(params["output"]["kernel"])
        np.testing.assert_allclose(found.layers[path], expected, atol=1e-5)


def test_a_stack_is_read_as_the_same_blocks_one_by_one(gpt):
    model, variables, batch = gpt
    stack = Gpt(**{**CAUSAL.__dict__, "scan": True}).build(vocab_size=11, context=TIME)
    alone = read(model, variables, batch, weights=True)
    loop = read(stack, {"params": as_stack(variables["params"])}, batch, weights=True)
    np.testing.assert_allclose(loop.outputs, alone.outputs, atol=1e-5)
    for one, other in zip(loop[1:], alone[1:], strict=True):
        assert list(one) == list(other)
        for path in one:
            np.testing.assert_allclose(one[path], other[path], atol=1e-5, err_msg=path)


def test_a_change_of_a_layer_is_what_the_network_goes_on_with(gpt):
    model, variables, batch = gpt
    doubled = read(model, variables, batch, changes={"norm": lambda x: 2 * x})
    whole = jax.jit(of(model))(variables, batch)
    np.testing.assert_allclose(doubled.outputs, 2 * whole, rtol=1e-4, atol=1e-5)


def test_what_members_of_an_ensemble_do_is_known_and_not_read():
    batch = {"image": jnp.ones((1, 4, 4, 1), jnp.float32)}
    model = classifiers(Vit(layers=1, width=8, heads=2).build(3), Ensemble(2))
    variables = initial(model.init, jax.random.key(0), batch)
    known = layers(of(model), variables, batch)
    assert known["block_0/attention"].kind == "self-attention"
    assert all(layer.inside for layer in known.values())
    found = read(model, variables, batch, weights=True)
    assert found.layers == {} == found.weights
