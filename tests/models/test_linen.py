import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from jaxtyping import TypeCheckError

from bigmodel import models
from bigmodel.models import linen
from bigmodel.models.layers.resolution import max_pool


class Tiny(nn.Module):
    """A dense layer behind dropout, with a counter of calls and one other method."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, x, *, train):
        calls = self.variable("state", "calls", lambda: jnp.zeros((), jnp.int32))
        if train:
            calls.value += 1
        x = nn.Dropout(self.rate)(x, deterministic=not train)
        return nn.Dense(3, name="head")(x)

    def double(self, x, *, train):
        del train
        return 2 * x


RULES = ((r".*", P()),)
BATCH = {"image": np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)}


def build(method=None):
    model = linen.model(Tiny(), partition=RULES, method=method)
    return model, model.init(jax.random.key(0), BATCH)


def test_evaluation_is_the_formula_and_changes_nothing():
    model, variables = build()
    outputs, updates = model.apply(variables, BATCH, train=False)
    head = variables["params"]["head"]
    expected = BATCH["image"] @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)
    assert updates == {}


def test_training_returns_all_collections_but_the_parameters():
    model, variables = build()
    _, updates = model.apply(variables, BATCH, train=True, key=jax.random.key(1))
    assert set(updates) == {"state"}
    assert updates["state"]["calls"] == 1


def test_method_is_called_instead_and_the_variables_stay_those_of_the_whole_module():
    _, whole = build()
    model, variables = build(method="double")
    assert jax.tree.structure(variables) == jax.tree.structure(whole)
    outputs, _ = model.apply(whole, BATCH, train=False)
    np.testing.assert_array_equal(outputs, 2 * BATCH["image"])


def test_several_inputs_are_read_in_their_order_and_a_module_without_state_updates_none():
    class Difference(nn.Module):
        @nn.compact
        def __call__(self, a, b, *, train):
            del train
            return nn.Dense(2)(a) - b

    model = linen.model(Difference(), inputs=("image", "other"), partition=RULES)
    batch = {"other": np.ones((2, 2), np.float32), **BATCH}
    variables = model.init(jax.random.key(0), batch)
    dense = variables["params"]["Dense_0"]
    expected = BATCH["image"] @ np.asarray(dense["kernel"]) - 1
    found, updates = model.apply(variables, batch, train=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert updates == {}


def test_signatures_are_checked_in_tests():
    with pytest.raises(TypeCheckError, match="max_pool"):
        max_pool(jnp.zeros((4, 4, 1)))


def test_public_names_are_imported_when_they_are_asked_for():
    code = "import sys, bigmodel.models as m; m.Gpt; sys.exit('bigmodel.models.rnn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert all(getattr(models, name) for names in models._PLACES.values() for name in names)
