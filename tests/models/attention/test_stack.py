from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import InputError
from bigmodel.models.attention.pipeline import join, split
from bigmodel.models.attention.stack import Stack, stacked_partition
from bigmodel.models.texts.bert import Bert
from bigmodel.partition import STACKED, spec_of
from bigmodel.tree import named_leaves

LAYERS, BATCH, WIDTH = 3, 4, 32


class Block(nn.Module):
    """Multiplies by a scale, and says which features dropout would let through."""

    @nn.compact
    def __call__(self, x, carried, train):
        scale = self.param("scale", nn.initializers.normal(), (WIDTH,), jnp.float32)
        drawn = nn.Dropout(0.5, deterministic=not train)(jnp.ones_like(x))
        return x * scale[None, None], carried, drawn


def run(microbatches, *, train, carried=None):
    stack = Stack(partial(Block, parent=None), LAYERS, False, (), microbatches)
    x = jax.random.normal(jax.random.key(0), (BATCH, 1, WIDTH), jnp.float32)

    @jax.jit
    def result(x, carried):
        variables = stack.init({"params": jax.random.key(1)}, x, carried=None, train=False)
        rngs = {"dropout": jax.random.key(2)}
        return variables, stack.apply(variables, x, carried=carried, train=train, rngs=rngs)

    return x, *result(x, carried)


def test_layers_follow_each_other_and_each_has_its_own_parameters_and_carried() -> None:
    carried = jnp.arange(LAYERS, dtype=jnp.float32)
    x, variables, (found, after, _) = run(1, train=False, carried=carried)
    scales = np.asarray(variables["params"]["stacked"]["scale"])
    assert scales.shape == (LAYERS, WIDTH)
    assert len(np.unique(scales)) == scales.size
    np.testing.assert_allclose(found, np.asarray(x) * scales.prod(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(after, carried)


@pytest.mark.parametrize("microbatches", [1, 2, 4])
def test_dropout_draws_for_each_layer_and_example(microbatches: int) -> None:
    _, _, (_, _, (drawn,)) = run(microbatches, train=True)
    assert drawn.shape == (LAYERS, BATCH, 1, WIDTH)
    draws = np.asarray(drawn).reshape(LAYERS * BATCH, WIDTH)
    assert len(np.unique(draws, axis=0)) == LAYERS * BATCH
    assert 0.4 < (draws == 0).mean() < 0.6


def test_parameters_of_blocks_one_by_one_are_refused_in_one_line() -> None:
    stack = Stack(partial(Block, parent=None), LAYERS, False, ())
    with pytest.raises(InputError, match=r"of blocks one by one, not of a stack: add --model.no-"):
        stack.apply({"params": {}}, jnp.ones((1, 1, WIDTH)), carried=None, train=False)


@pytest.mark.parametrize(
    ("layers", "scan", "expected"),
    [(23, None, False), (24, None, True), (24, False, False), (1, True, True)],
)
def test_deep_networks_have_a_stack_unless_told_otherwise(layers, scan, expected) -> None:
    options = Bert(layers=layers, width=8, heads=2, scan=scan)
    batch = {"tokens": jnp.ones((1, 4), jnp.int32), "length": jnp.ones((1,), jnp.int32)}
    model = options.classifier(2, vocab_size=5, context=4)
    params = named_leaves(jax.eval_shape(model.init, jax.random.key(0), batch)["params"])
    assert any(STACKED in path.split("/") for path in params) == expected


def test_microbatches_take_turns_so_that_devices_keep_their_examples() -> None:
    x = jnp.arange(6, dtype=jnp.int32)
    np.testing.assert_array_equal(split(x, 2), [[0, 2, 4], [1, 3, 5]])
    np.testing.assert_array_equal(join(split(x, 2)), x)


def test_rules_of_a_block_hold_for_a_stack_with_its_layers_over_the_pipeline() -> None:
    rules = stacked_partition(
        ((r"(up|down)/kernel$", P("fsdp", "tensor")), (r"scale$", P())), layers="pipeline"
    )
    path = "blocks/stacked/feed_forward/up/kernel"
    assert spec_of(rules, path, 3) == P("pipeline", "fsdp", "tensor")
    assert spec_of(rules, "blocks/stacked/norm/scale", 2) == P("pipeline")
    assert spec_of(rules, "blocks_0/feed_forward/up/kernel", 2) is None
