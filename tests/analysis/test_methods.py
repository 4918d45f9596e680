"""Explanations by formulas that are known, and what is made of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial
from rare import rare

from bigmodel.analysis.explanations.quality import curves, groups, rank_correlation, sanity
from bigmodel.data.texts.tokenizers import byte_tokenizer, word_tokenizer
from bigmodel.experiment import InputError
from bigmodel.inference.explanation.explaining import (
    METHODS,
    How,
    Question,
    cam_layer,
    explain,
    supported,
)
from bigmodel.inference.explanation.network import Evaluated, Network, Read
from bigmodel.inference.explanation.spreading import spread_map, spread_positions, windows
from bigmodel.inference.explanation.units import Units, pieces, units_of
from bigmodel.models.images.vit import Vit
from bigmodel.models.taps import layers, tapped

X = np.array([[0.5, -1.0, 2.0, 0.25]], np.float32)
WEIGHTS = np.array([1.0, 2.0, 0.5, -4.0], np.float32)


def cubes(variables, batch):
    """Two logits, the first of which is a sum of cubes."""
    first = (jnp.asarray(variables["params"]["kernel"])[None] * batch["features"] ** 3).sum(axis=1)
    return jnp.stack([first, jnp.zeros_like(first)], axis=1)


def asked(apply, batch, variables, *, kind="row", width=0, features="features", **changes):
    read = Read(Network(apply, features), layers(apply, variables, batch), str, int, width)
    units = units_of(kind, batch, {}, None, width=width)
    return Question(read, batch, units, 0, 0.0)._replace(**changes)


VARIABLES = {"params": {"kernel": WEIGHTS}}
CUBES = asked(cubes, {"features": X}, VARIABLES)


def test_gradients_and_noisy_ones_are_those_of_the_formula():
    found = explain(CUBES, VARIABLES, How("gradients"))
    np.testing.assert_allclose(found.numbers, 3 * WEIGHTS * X**2, rtol=1e-5)
    np.testing.assert_allclose(found.values, abs(3 * WEIGHTS * X**2)[0], rtol=1e-5)
    assert not found.signed
    keys = jax.random.split(jax.random.key(7), 5)
    noise = [0.3 * np.asarray(jax.random.normal(key, X.shape, jnp.float32)) for key in keys]
    expected = np.mean([3 * WEIGHTS * (X + each) ** 2 for each in noise], axis=0)
    smooth = explain(CUBES, VARIABLES, How("smoothgrad", samples=5, noise=0.1, seed=7))
    np.testing.assert_allclose(smooth.numbers, expected, rtol=1e-4)


@pytest.mark.parametrize("baseline", [0.0, 0.5])
def test_integrated_gradients_of_a_sum_are_its_terms_and_nothing_is_lost(baseline):
    question = CUBES._replace(baseline=baseline)
    found = explain(question, VARIABLES, How(baseline=baseline, steps=4))
    terms = WEIGHTS * (X**3 - baseline**3)
    np.testing.assert_allclose(found.values, terms[0], rtol=1e-4, atol=1e-6)
    assert found.difference == pytest.approx(terms.sum(), rel=1e-5)
    assert abs(found.gap) < 1e-5
    logit = float((WEIGHTS * X**3).sum())
    assert found.score == pytest.approx(logit, rel=1e-5)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)


def test_too_few_steps_leave_a_gap_that_is_told():
    found = explain(CUBES, VARIABLES, How(steps=1))
    terms = WEIGHTS * X**3
    # At the middle of the path the slope of a cube is three quarters of its mean.
    assert found.gap == pytest.approx(terms.sum() / 4, rel=1e-4)


def test_what_falls_when_a_column_is_hidden_is_its_term():
    found = explain(CUBES, VARIABLES, How("occlusion"))
    np.testing.assert_allclose(found.values, (WEIGHTS * X**3)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shape", "window"), [((8, 8), None), ((9, 7), 4), ((5, 5), 9)])
def test_windows_hide_all_of_an_image(shape, window):
    units = Units("image", np.arange(np.prod(shape)).reshape(1, *shape, 1), shape)
    masks = windows(units, window).reshape(-1, *shape)
    assert (masks == 0).any(axis=0).all()
    side = min(window or 1, *shape) if window else 1
    assert {int((mask == 0).sum()) for mask in masks} >= {side * side} or window == 9


def test_units_add_up_their_numbers_and_leave_out_padding():
    of = np.array([[[0, 0], [1, 1], [-1, -1]]])
    units = Units("text", of, (2,))
    numbers = np.array([[[3.0, 4.0], [1.0, -1.0], [9.0, 9.0]]])
    np.testing.assert_allclose(units.sums(numbers), [7, 0])
    np.testing.assert_allclose(units.norms(numbers), [5, 2**0.5])


def test_the_curves_are_those_of_what_is_left_in_the_order_of_the_explanation():
    found = explain(CUBES, VARIABLES, How())
    terms = np.sort((WEIGHTS * X**3)[0])[::-1]
    drawn = curves(found, VARIABLES)
    left = np.array([terms[taken:].sum() for taken in range(5)])
    np.testing.assert_allclose(drawn.deletion, 1 / (1 + np.exp(-left)), rtol=1e-4)
    into = np.array([terms[:taken].sum() for taken in range(5)])
    np.testing.assert_allclose(drawn.insertion, 1 / (1 + np.exp(-into)), rtol=1e-4)
    deletion, insertion, random = drawn.areas()
    assert deletion < random < insertion
    np.testing.assert_allclose(drawn.random[:, 0], found.probability, rtol=1e-5)
    np.testing.assert_allclose(drawn.random[:, -1], 0.5, rtol=1e-5)
    assert len(np.unique(drawn.random, axis=0)) > 1


def test_randomised_weights_change_an_explanation_that_depends_on_them():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 200)).astype(np.float32)
    weights = {"params": {"kernel": (10 * rng.normal(size=200) ** 3).astype(np.float32)}}
    question = asked(cubes, {"features": x}, weights)
    assert sanity(explain(question, weights, How()), weights)[""] < 0.9
    same = asked(lambda _, batch: cubes(VARIABLES | ONES, batch), {"features": x}, weights)
    assert sanity(explain(same, weights, How()), weights) == {"": pytest.approx(1)}
    assert rank_correlation(np.zeros(3), np.arange(3)) == 0


ONES = {"params": {"kernel": np.ones(200, np.float32)}}


class Convolved(nn.Module):
    """A convolution, the mean over its pixels, and a dense layer."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(5, (3, 3), name="conv")(x)
        return nn.Dense(3, name="head")(x.mean(axis=(1, 2)))


def test_grad_cam_of_a_mean_is_the_channels_by_the_weights_of_the_class():
    image = jax.random.normal(jax.random.key(0), (1, 6, 4, 1), jnp.float32)
    module = Convolved()
    variables = initial(module.init, jax.random.key(1), image)

    def apply(variables, batch):
        return module.apply(variables, batch["image"])

    question = asked(apply, {"image": image}, variables, kind="image", features="image", target=2)
    found = explain(question, variables, How("grad_cam"))
    channels = jax.jit(lambda: tapped(apply, variables, {"image": image}))().layers["conv"]
    kernel = variables["params"]["head"]["kernel"][:, 2]
    expected = np.maximum(np.einsum("bhwc,c->bhw", channels, kernel) / 24, 0)
    np.testing.assert_allclose(found.numbers, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.values, expected[0], rtol=1e-4, atol=1e-6)
    assert supported(question.read) == tuple(name for name in METHODS if name != "rollout")
    with pytest.raises(InputError, match="--layer head is none of those with a map: conv"):
        cam_layer(question.read, "head")
    assert list(groups(question.read, ["conv/kernel", "head/kernel"])) == ["head", "conv"]


@pytest.mark.parametrize("pooling", [rare("mean"), "token"])
def test_a_rollout_is_the_product_over_the_blocks_from_what_is_read(pooling):
    model = Vit(patch=2, layers=2, width=8, heads=2, pooling=pooling).build(3)
    image = jax.random.normal(jax.random.key(0), (1, 6, 4, 1), jnp.float32)
    variables = initial(model.init, jax.random.key(1), {"image": image})
    apply = Evaluated(model.apply)
    question = asked(apply, {"image": image}, variables, kind="image", features="image")
    found = explain(question, variables, How("rollout"))
    before = pooling == "token"
    weights = jax.jit(lambda: tapped(apply, variables, {"image": image}, weights=True))().weights
    first, second = ((w[0].mean(axis=1) + np.eye(6 + before)) / 2 for w in weights.values())
    joint = np.asarray(second) @ np.asarray(first)
    expected = joint[0] if before else joint.mean(axis=0)
    np.testing.assert_allclose(found.numbers, expected, rtol=1e-4)
    patches = expected[before:].reshape(3, 2)
    np.testing.assert_allclose(found.values[::2, ::2], patches / 4, rtol=1e-4)
    assert found.values.sum() == pytest.approx(expected[before:].sum(), rel=1e-4)


def test_maps_and_positions_are_spread_over_steps_and_tokens():
    sequence = Units("sequence", np.arange(12).reshape(1, 6, 2), (5, 2))
    spread = spread_map(np.array([[0.0, 1.0, 2.0]], np.float32), sequence, (1, 6, 2))
    assert spread.shape == (5, 2)
    np.testing.assert_allclose(spread[:, 0], [0, 0.25, 0.75, 1.25, 1.75])
    text = Units("text", np.zeros((1, 4, 3), int), (3,))
    np.testing.assert_allclose(spread_positions(np.arange(5.0), text), [1, 2, 3])
    with pytest.raises(InputError, match="the 7 positions of its attention are no patches"):
        spread_positions(np.arange(7.0), Units("image", np.zeros((1, 4, 4, 1), int), (4, 4)))


def test_maps_and_positions_are_spread_over_the_bands_of_a_sound_and_the_frames_of_a_clip():
    spectrum = np.arange(10.0, dtype=np.float32).reshape(1, 5, 2)
    sound = units_of("sound", {"spectrum": spectrum, "length": np.array([3])}, {}, None)
    assert sound.shape == (3, 2)
    assert sound.names == ("band 1", "band 2")
    assert sound.of.ravel().tolist() == [0, 1, 2, 3, 4, 5, -1, -1, -1, -1]
    # Three moments of two frames each, of which the last ones are padding.
    shares = spread_positions(np.array([4.0, 8.0, 9.0]), sound)
    np.testing.assert_allclose(shares, [[1, 1], [1, 1], [2, 2]])
    clip = units_of("frames", {"video": np.zeros((1, 2, 4, 4, 3), np.float32)}, {}, None)
    assert clip.shape == (2, 4, 4)
    assert clip.of[0, 1, 0, 0].tolist() == [16, 16, 16]
    maps = np.array([[[0.0]], [[1.0]]], np.float32)
    np.testing.assert_allclose(spread_map(maps, clip, clip.of.shape).sum(axis=(1, 2)), [0, 16])
    np.testing.assert_allclose(
        spread_positions(np.array([1.0, 3.0]), clip).sum(axis=(1, 2)), [1, 3]
    )
    hidden = windows(clip, 2).reshape(-1, *clip.shape)
    assert (hidden == 0).any(axis=0).all()
    assert {int((mask == 0).sum()) for mask in hidden} == {8}


def test_the_pieces_of_a_text_are_the_text_where_they_are_characters():
    words = word_tokenizer(["the cat sat"], vocab_size=9)
    assert "".join(pieces(words.encode("The cat sat"), words)) == "the cat sat"
    letters = byte_tokenizer()
    assert pieces(letters.encode("aé\n"), letters) == ["a", "<195>", "<169>", "\n"]
    special = letters._replace(special={"separator": 97})
    assert pieces(letters.encode("ba"), special) == ["b", "[SEP]"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "lime"}, "there is no method 'lime'; use gradients, smoothgrad"),
        ({"steps": 0}, "--steps 0 is too small"),
        ({"steps": 10**8}, "--steps 100000000 is too many; use up to 10000"),
        ({"noise": float("nan")}, "--noise nan must be 0 or more"),
        ({"baseline": float("inf")}, "--baseline inf must be a number"),
    ],
)
def test_options_that_no_method_takes_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        How(**options)
