"""What every encoder-decoder promises: the transformer, and each recurrent cell."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stacking import stacked as as_stack

from bigmodel.models.texts.beam import BOUNDARY, Beam
from bigmodel.models.texts.seq2seq import Seq2Seq
from bigmodel.models.texts.transformer import Transformer, TransformerNetwork
from bigmodel.models.texts.translation import Translation, Translator

SOURCE_VOCAB, TARGET_VOCAB, LENGTH = 9, 7, 6
TRANSFORMER = Transformer(layers=2, width=16, heads=2, dropout=0.5)
KEY = jax.random.key(0)
OPTIONS = (
    TRANSFORMER,
    Seq2Seq("lstm", layers=2, width=16, dropout=0.5),
    Seq2Seq("gru", layers=1, width=16, heads=2, dropout=0.5),
    dataclasses.replace(TRANSFORMER, layers=1, copy=True),
)

each = pytest.mark.parametrize(
    "options",
    [
        pytest.param(OPTIONS[0], id="transformer"),
        pytest.param(OPTIONS[1], id="lstm"),
        pytest.param(OPTIONS[2], id="gru", marks=pytest.mark.matrix),
        pytest.param(OPTIONS[3], id="copying", marks=pytest.mark.matrix),
    ],
)


def random_batch(seed):
    random = np.random.default_rng(seed)
    target_out = random.integers(1, TARGET_VOCAB, size=(3, LENGTH), dtype=np.int32)
    return {
        "source": random.integers(1, SOURCE_VOCAB, size=(3, 5), dtype=np.int32),
        "source_length": np.array([5, 2, 4], np.int32),
        "target_in": np.pad(target_out[:, :-1], ((0, 0), (1, 0))),
    }


class Built(NamedTuple):
    translator: Translator
    variables: Any
    evaluate: Callable[[Any], Translation]


@functools.cache
def build(options, beams=1):
    """A model with random weights that are large enough to make its inputs matter."""
    beam = Beam(beams, length_penalty=0.0)
    built = options.build(
        source_vocab=SOURCE_VOCAB, target_vocab=TARGET_VOCAB, length=LENGTH, beam=beam
    )
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(built.model.init, jax.random.key(0), random_batch(0))["params"]
    params = jax.tree.map(
        lambda x: random.normal(size=x.shape, scale=2 / x.shape[0] ** 0.5).astype(x.dtype), shapes
    )
    variables = {"params": params}
    apply = jax.jit(lambda batch: built.model.apply(variables, batch, train=False)[0])
    return Built(built, variables, apply)


@each
def test_padding_of_the_source_changes_nothing(options):
    built = build(options)
    batch = random_batch(1)
    padding = np.arange(5)[None] >= batch["source_length"][:, None]
    other = batch | {"source": np.where(padding, 8, batch["source"]).astype(np.int32)}
    expected, found = built.evaluate(batch), built.evaluate(other)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    np.testing.assert_array_equal(found.predicted, expected.predicted)


@each
def test_every_token_of_the_source_counts(options):
    built = build(options)
    batch = random_batch(2)
    expected = built.evaluate(batch).logits
    for row, length in enumerate(batch["source_length"]):
        for at in range(length):
            source = batch["source"].copy()
            source[row, at] = source[row, at] % (SOURCE_VOCAB - 1) + 1
            found = built.evaluate(batch | {"source": source}).logits
            changed = np.abs(found - expected).max(axis=(1, 2))
            assert changed[row] > 1e-4
            np.testing.assert_allclose(np.delete(changed, row), 0.0, atol=1e-5)


@each
def test_logits_see_no_later_token_of_the_target(options):
    built = build(options)
    batch = random_batch(3)
    expected = built.evaluate(batch).logits
    target = batch["target_in"].copy()
    target[:, 3] = target[:, 3] % (TARGET_VOCAB - 1) + 1
    found = built.evaluate(batch | {"target_in": target}).logits
    np.testing.assert_allclose(found[:, :3], expected[:, :3], atol=1e-5)
    assert np.abs(found - expected)[:, 3:].max(axis=-1).min() > 1e-4


@each
def test_greedy_translation_is_the_likeliest_token_by_the_logits_of_the_whole(options):
    built = build(options)
    batch = random_batch(4)
    predicted = np.asarray(built.evaluate(batch).predicted)
    target = np.zeros((3, LENGTH), np.int32)
    for at in range(LENGTH):
        read = np.pad(target[:, :-1], ((0, 0), (1, 0)))
        logits = built.evaluate(batch | {"target_in": read}).logits
        ended = (target[:, :at] == BOUNDARY).any(axis=1)
        target[:, at] = np.where(ended, BOUNDARY, np.argmax(logits[:, at], axis=-1))
    np.testing.assert_array_equal(predicted, target)


def test_steps_with_a_cache_give_the_logits_of_the_whole():
    batch = random_batch(8)
    network = TransformerNetwork(TRANSFORMER, SOURCE_VOCAB, TARGET_VOCAB, LENGTH)
    variables = build(TRANSFORMER).variables
    source = (batch["source"], batch["source_length"])
    read = jax.jit(functools.partial(network.apply, train=False))
    whole = read(variables, *source, batch["target_in"])
    begin = functools.partial(network.apply, hypotheses=1, method="start")
    step = jax.jit(functools.partial(network.apply, method="decode_step"))
    memory, state = jax.jit(begin)(variables, *source)
    for at in range(LENGTH):
        tokens, position = batch["target_in"][:, at], jnp.asarray(at, jnp.int32)
        logits, state = step(variables, memory, tokens, position, state)
        np.testing.assert_allclose(logits, whole[:, at], atol=1e-4)


@each
def test_a_wide_beam_finds_sequences_that_are_as_likely_by_the_logits_of_the_whole(options):
    batch = random_batch(5)

    def likelihood(beams):
        built = build(options, beams)
        target = np.asarray(built.evaluate(batch).predicted)
        read = np.pad(target[:, :-1], ((0, 0), (1, 0)))
        logits = built.evaluate(batch | {"target_in": read}).logits
        gains = np.take_along_axis(
            np.asarray(jax.nn.log_softmax(logits)), target[..., None], axis=-1
        )[..., 0]
        return (gains * (read != BOUNDARY))[:, 1:].sum(axis=1) + gains[:, 0]

    greedy, wide = likelihood(1), likelihood(12)
    assert (wide >= greedy - 1e-4).all()
    assert (wide > greedy + 1e-3).any()


def test_a_stack_translates_as_its_blocks_do():
    one, batch = build(TRANSFORMER, 3), random_batch(9)
    options = dataclasses.replace(TRANSFORMER, scan=True)
    sizes = {"source_vocab": SOURCE_VOCAB, "target_vocab": TARGET_VOCAB, "length": LENGTH}
    stack = options.build(**sizes, beam=Beam(3, length_penalty=0.0))
    params = as_stack(one.variables["params"])
    found, _ = jax.jit(functools.partial(stack.model.apply, train=False))({"params": params}, batch)
    expected = one.evaluate(batch)
    np.testing.assert_array_equal(found.predicted, expected.predicted)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
    weights = jax.jit(one.translator.attention)(one.variables["params"], batch)
    np.testing.assert_allclose(jax.jit(stack.attention)(params, batch), weights, atol=1e-5)


@each
def test_attention_is_a_distribution_over_the_source_without_padding(options):
    built = build(options)
    batch = random_batch(6)
    weights = np.asarray(built.translator.attention(built.variables["params"], batch))
    assert weights.shape == (3, LENGTH, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-5)
    for row, length in enumerate(batch["source_length"]):
        assert not weights[row, :, length:].any()
        assert weights[row, :, :length].min() > 0


@each
def test_nothing_is_translated_in_training(options):
    built = build(options)
    train = functools.partial(built.translator.model.apply, train=True)
    outputs, _ = jax.eval_shape(train, built.variables, random_batch(7), key=KEY)
    assert outputs.predicted is None
