import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import Data, InputError, Mean, Model, scalars
from bigmodel.models.images.cnn import ConvNet
from bigmodel.training.gradients import mean_gradients
from bigmodel.training.metrics import accuracy, cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
BATCH = jax.device_put(
    {
        "image": RNG.normal(size=(12, 6)).astype(np.float32),
        "label": RNG.integers(0, 3, 12).astype(np.int32),
        "weight": np.r_[np.ones(9), np.zeros(3)].astype(np.float32),
    }
)
DATA = Data(lambda *_: BATCH, {"test": [BATCH]}, 12, 1, "none")


def init(key, batch):
    del batch
    kernel = jax.random.normal(key, (6, 3), jnp.float32)
    return {"params": {"kernel": kernel, "bias": jnp.ones(3, jnp.float32)}}


def apply(variables, batch, *, train, key):
    del train, key
    params = variables["params"]
    return batch["image"] @ params["kernel"] + params["bias"][None, :], {}


MODEL = Model(init, apply, ((".*", P()),))


def experiment(optimizer: Optimizer):
    return supervised(MODEL, cross_entropy, {"accuracy": accuracy}, optimizer, DATA, steps=10)


def step(optimizer: Optimizer, count: int = 1):
    one = experiment(optimizer)
    state = one.init(jax.random.key(0))
    for index in range(count):
        state, metrics, gradients = one.train_step(state, BATCH, jax.random.key(index))
    return state, metrics, gradients


def plain_gradients(l1: float = 0.0, l2: float = 0.0):
    """Softmax regression's gradients in NumPy, on the rows that are not padding."""
    params = jax.tree.map(np.asarray, init(jax.random.key(0), BATCH)["params"])
    images, labels = (np.asarray(BATCH[name])[:9] for name in ("image", "label"))
    logits = images @ params["kernel"] + params["bias"]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p[np.arange(9), labels] -= 1.0
    kernel = images.T @ p / 9 + l1 * np.sign(params["kernel"]) + l2 * params["kernel"]
    return {"kernel": kernel, "bias": p.mean(0)}


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_gradients_are_those_of_the_mean_however_it_is_accumulated(accumulate: int) -> None:
    _, metrics, gradients = step(Optimizer(accumulate=accumulate))
    expected = plain_gradients()
    for name in expected:
        np.testing.assert_allclose(gradients[name], expected[name], rtol=1e-4, atol=1e-6)
    assert float(metrics["loss"].count) == 9


def test_parts_with_convolutions_are_no_loop_on_cpus_and_need_the_memory_of_one() -> None:
    image = jax.ShapeDtypeStruct((512, 8, 8, 1), jnp.float32)
    row = jax.ShapeDtypeStruct((512,), jnp.float32)
    batch = {"image": image, "weight": row, "label": jax.ShapeDtypeStruct((512,), jnp.int32)}
    network = ConvNet(widths=(8, 8), convolutions=(1, 1), dense=()).build(3)
    variables = jax.eval_shape(network.init, KEY, batch)

    def loss(params, variables, batch, key):
        every = {**variables, "params": params}
        outputs, updates = network.apply(every, batch, train=True, key=key)
        return cross_entropy(outputs, batch), {}, updates

    def program(parts: int):
        gradients = partial(mean_gradients, loss, parts=parts)
        return jax.jit(gradients).lower(variables["params"], {}, batch, KEY)

    whole, parts = (program(count).compile() for count in (1, 8))
    count = [each.as_text().count(" convolution(") for each in (whole, parts)]
    assert count[1] == 8 * count[0] > 0
    small, large = (each.memory_analysis().temp_size_in_bytes for each in (parts, whole))
    assert small < large / 3


def test_accumulation_that_does_not_divide_the_batch_is_refused() -> None:
    with pytest.raises(InputError, match=r"accumulate 5 does not divide --data.batch-size 12"):
        step(Optimizer(accumulate=5))


def test_penalties_are_added_to_the_gradients_of_what_decays() -> None:
    _, metrics, gradients = step(Optimizer(l1=0.1, l2=0.3))
    expected = plain_gradients(l1=0.1, l2=0.3)
    for name in expected:
        np.testing.assert_allclose(gradients[name], expected[name], rtol=1e-4, atol=1e-6)
    kernel = np.asarray(init(jax.random.key(0), BATCH)["params"]["kernel"])
    penalty = 0.1 * np.abs(kernel).sum() + 0.3 * np.square(kernel).sum() / 2
    assert float(metrics["penalty"].total) == pytest.approx(penalty, rel=1e-5)


def test_evaluation_uses_the_moving_average() -> None:
    one = experiment(Optimizer("sgd", learning_rate=0.5, ema=0.9))
    state, _, _ = step(Optimizer("sgd", learning_rate=0.5, ema=0.9), count=3)
    average = state.average["params"]
    assert not np.allclose(average["kernel"], state.params["kernel"])
    averaged = one.eval_step(state, BATCH)["loss"].total
    own = dataclasses.replace(state, params=average, average=None)
    assert averaged == one.eval_step(own, BATCH)["loss"].total
    assert averaged != one.eval_step(dataclasses.replace(state, average=None), BATCH)["loss"].total


def test_statistics_are_averaged_with_the_parameters_that_they_belong_to() -> None:
    """By hand: averaged weights with the last statistics would be another function."""

    def counted(variables, batch, *, train, key):
        outputs, _ = apply(variables, batch, train=train, key=key)
        mean, calls = variables["statistics"]["mean"], variables["statistics"]["calls"]
        return outputs, {"statistics": {"mean": 0.5 * mean + 1, "calls": calls + 1}}

    def initial(key, batch):
        statistics = {"mean": jnp.zeros((), jnp.float32), "calls": jnp.zeros((), jnp.int32)}
        return {**init(key, batch), "statistics": statistics}

    model = Model(initial, counted, ((".*", P()),))
    one = supervised(model, cross_entropy, {}, Optimizer(ema=0.15), DATA, steps=10)
    state, mean, average = one.init(jax.random.key(0)), 0.0, 0.0
    for index in range(3):
        state, _, _ = one.train_step(state, BATCH, jax.random.key(index))
        decay = min(0.15, (1 + index) / (10 + index))
        mean = 0.5 * mean + 1
        average = decay * average + (1 - decay) * mean
    assert float(state.evaluated["statistics"]["mean"]) == pytest.approx(average, rel=1e-5)
    assert int(state.evaluated["statistics"]["calls"]) == 3
    assert state.evaluated["params"] is state.average["params"]


def test_learning_rate_is_reported_as_scheduled() -> None:
    _, metrics, _ = step(Optimizer(learning_rate=1.0, schedule="linear"), count=4)
    assert float(metrics["learning_rate"].total) == pytest.approx(0.7)


def test_a_batch_in_which_nothing_counts_changes_nothing():
    one = experiment(Optimizer("sgd", learning_rate=1.0, accumulate=2, weight_decay=0.0))
    state = one.init(KEY)
    after, metrics, gradients = one.train_step(state, {**BATCH, "weight": jnp.zeros(12)}, KEY)
    assert metrics["loss"].count == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradients))
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)
    assert np.isnan(scalars({"loss": Mean(np.float64(0), np.float64(0))})["loss"])
