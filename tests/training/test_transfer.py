import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import InputError, Model
from bigmodel.training.transfer import with_pretrained


def init(key, batch):
    del batch
    kernel, head = (jax.random.normal(k, (2, 3), jnp.float32) for k in jax.random.split(key))
    params = {"encoder": {"kernel": kernel, "bias": jnp.ones(3, jnp.float32)}, "head": head}
    return {"params": params, "state": {"calls": jnp.zeros((), jnp.int32)}}


MODEL = Model(init, lambda *_, **__: (None, {}), ())
LEARNED = {
    "encoder/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "encoder/bias": np.array([7, 8, 9], np.float32),
    "old_head": np.zeros((4, 4), np.float32),
}


def begun(learned):
    return jax.jit(with_pretrained(MODEL, learned, under="encoder").init)(jax.random.key(0), {})


def test_parameters_under_the_path_are_those_learned_and_the_others_as_before():
    found, before = begun(LEARNED), init(jax.random.key(0), {})
    np.testing.assert_array_equal(found["params"]["encoder"]["kernel"], LEARNED["encoder/kernel"])
    np.testing.assert_array_equal(found["params"]["encoder"]["bias"], LEARNED["encoder/bias"])
    np.testing.assert_array_equal(found["params"]["head"], before["params"]["head"])
    assert jax.tree.structure(found) == jax.tree.structure(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder/kernel": np.zeros((2, 4))}, "encoder/kernel has shape [2, 4] in the pre-"),
        ({"encoder/bias": None}, "has no parameter encoder/bias"),
        ({"encoder/more": np.zeros(1)}, "has the parameter encoder/more, which this one has not"),
    ],
)
def test_parameters_that_do_not_fit_are_named(change, message):
    learned = {name: array for name, array in (LEARNED | change).items() if array is not None}
    with pytest.raises(InputError, match=re.escape(message)):
        begun(learned)
