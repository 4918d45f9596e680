import re

import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import InputError
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.rates import with_rates
from bigmodel.tree import named_leaves, nested

ONES = {
    "encoder/embedding/embedding": (4, 2),
    "encoder/blocks_0/attention/query/kernel": (2, 2),
    "encoder/blocks_1/norm/scale": (2,),
    "encoder/blocks_2/up/kernel": (2, 3),
    "members/decoder/stacked/up/kernel": (5, 2, 3, 2),
    "head/kernel": (2, 3),
}
UPDATES = nested({path: jnp.ones(shape, jnp.float32) for path, shape in ONES.items()})


def factors(rules=(), layer_decay=1.0):
    found = with_rates(UPDATES, rules=rules, layer_decay=layer_decay)
    return {path: np.unique(leaf) for path, leaf in named_leaves(found).items()}


def begun(params, **options):
    return Optimizer(**options).transform(10).init(params)


def test_blocks_decay_towards_the_embedding() -> None:
    found = factors(layer_decay=0.5)
    expected = [1 / 8, 1 / 4, 1 / 2, 1, [1 / 2, 1], 1]
    for path, value in zip(ONES, expected, strict=True):
        np.testing.assert_allclose(found[path], value)
    stack = with_rates(UPDATES, rules=(), layer_decay=0.5)["members"]["decoder"]["stacked"]
    np.testing.assert_allclose(stack["up"]["kernel"][3, :, 1, 0], [0.5, 1])


def test_the_first_pattern_that_is_found_counts_beside_the_decay() -> None:
    found = factors(["blocks_1=0.3", "encoder/=0.1", "head=2e1"], layer_decay=0.5)
    expected = [0.1 / 8, 0.1 / 4, 0.3 / 2, 0.1, [1 / 2, 1], 20]
    for path, value in zip(ONES, expected, strict=True):
        np.testing.assert_allclose(found[path], value, rtol=1e-6)


def test_updates_of_the_optimizer_and_decay_are_multiplied() -> None:
    def updates(**options):
        transform = Optimizer("sgd", 0.1, weight_decay=0.5, **options).transform(10)
        return transform.update(UPDATES, transform.init(UPDATES), UPDATES)[0]

    plain, scaled = (named_leaves(updates(**o)) for o in ({}, {"scale": ("head=0.25",)}))
    for path in ONES:
        np.testing.assert_allclose(scaled[path], plain[path] * (0.25 if "head" in path else 1))
    assert plain["head/kernel"][0, 0] == pytest.approx(-0.15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimizer(scale=("head",)), "scale head has no regex or no factor"),
        (lambda: Optimizer(scale=("head=-1",)), "scale head=-1 has no"),
        (lambda: Optimizer(layer_decay=1.5), "layer-decay is 1.5"),
        (lambda: Optimizer(freeze=("(",)), "freeze '(' is no regex"),
        # Before the first step, for nothing is written until there is a state.
        (lambda: begun(UPDATES, scale=("tail=2",)), "--optimizer.scale tail finds no parameter"),
        (lambda: begun(UPDATES["head"], layer_decay=0.5), "this model has no numbered blocks"),
    ],
)
def test_rates_of_nothing_are_refused(make, message) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()
