"""How many CPU devices an experiment is spread over, where nobody says how many."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from bigmodel.data.batches import epochs
from bigmodel.experiment import Data, Experiment, InputError
from bigmodel.models import linen
from bigmodel.sharding import cores
from bigmodel.sharding.cores import Work, devices_before, mesh_of, work_of, worthwhile
from bigmodel.sharding.mesh import MeshShape
from bigmodel.training.metrics import cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised


class Convolutions(nn.Module):
    """Convolutions, after which there is one number for each class."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        del train
        for width in (self.width, self.width):
            x = nn.relu(nn.Conv(width, (3, 3))(x))
        return nn.Dense(10)(x.mean(axis=(1, 2)))


class Products(nn.Module):
    """Large products."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        del train
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(10)(nn.relu(nn.Dense(self.width)(nn.relu(nn.Dense(self.width)(x)))))


class Loop(nn.Module):
    """A recurrent network."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        del train
        return nn.Dense(10)(nn.RNN(nn.SimpleCell(self.width))(x[..., 0])[:, -1])


def experiment(module: nn.Module, *, batch: int = 128, evaluated: int = 128) -> Experiment:
    """Trains a module on images of 32 by 32."""

    def images(count: int) -> dict[str, np.ndarray]:
        labels = np.zeros(count, np.int32)
        return {"image": np.zeros((count, 32, 32, 1), np.float32), "label": labels}

    data = Data(epochs(images(batch), batch), {"test": [images(evaluated)]}, batch, 1, "zeros")
    model = linen.model(module, partition=((".*", PartitionSpec()),))
    return supervised(model, cross_entropy, {}, Optimizer(), data, steps=1)


@pytest.mark.parametrize(
    ("module", "sizes", "most", "devices"),
    [
        (Convolutions(32), {}, 2, 2),
        (Convolutions(32), {}, 6, 4),
        (Convolutions(32), {}, 64, 8),
        (Loop(256), {}, 2, 2),
        (Products(2048), {}, 2, 1),
        (Convolutions(2), {}, 2, 1),
        (Convolutions(32), {"batch": 127}, 2, 1),
        (Convolutions(32), {"evaluated": 101}, 2, 1),
        (Convolutions(32), {}, 1, 1),
    ],
)
def test_work_that_one_core_does_alone_is_spread_where_it_is_enough_and_even(
    module: nn.Module, sizes: dict[str, int], most: int, devices: int
) -> None:
    assert worthwhile(experiment(module, **sizes), most) == devices


def loop(x: jax.Array, w: jax.Array) -> jax.Array:
    return jax.lax.scan(lambda h, _: (jnp.tanh(h @ w), None), x, length=5)[0]


@pytest.mark.parametrize(
    ("function", "rows", "work"),
    [
        (lambda x, w: x @ w, 4, Work(2 * 4 * 64 * 64, 0)),
        (loop, 4, Work(5 * 2 * 4 * 64 * 64, 5 * 2 * 4 * 64 * 64)),
        (jax.jit(jax.checkpoint(loop)), 4, Work(5 * 2 * 4 * 64 * 64, 5 * 2 * 4 * 64 * 64)),
        (loop, 8192, Work(5 * 2 * 8192 * 64 * 64, 0)),
        (
            lambda x, w: jax.lax.cond(x[0, 0] > 0, loop, lambda x, w: x @ w, x, w),
            4,
            Work(5 * 2 * 4 * 64 * 64, 5 * 2 * 4 * 64 * 64),
        ),
    ],
)
def test_small_products_of_a_loop_are_the_work_of_one_core(
    function: Callable[..., Any], rows: int, work: Work
) -> None:
    jaxpr = jax.make_jaxpr(function)(jnp.zeros((rows, 64)), jnp.zeros((64, 64)))
    assert work_of(jaxpr.jaxpr) == work


@pytest.mark.parametrize(
    ("shape", "before", "sizes"),
    [
        (MeshShape(), 0, {"data": 4, "fsdp": 1}),
        (MeshShape(), 1, {"data": 1, "fsdp": 1}),
        (MeshShape(), 64, {"data": 4, "fsdp": 1}),
        (MeshShape(data=2), 1, {"data": 2, "fsdp": 1}),
        (MeshShape(fsdp=2), 0, {"data": 1, "fsdp": 2}),
    ],
)
def test_who_says_how_many_gets_them_and_a_run_goes_on_with_those_it_had(
    shape: MeshShape, before: int, sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES")
    monkeypatch.setattr(cores, "MOST", 4)
    one = experiment(Convolutions(32))
    assert dict(mesh_of(one, shape, before).shape) == sizes
    with pytest.raises(InputError, match=r"--mesh\.data 16 does not divide the 8 devices"):
        mesh_of(one, MeshShape(data=16))


def test_what_the_environment_says_counts() -> None:
    assert mesh_of(experiment(Products(8)), MeshShape()).size == 8


@pytest.mark.parametrize(
    ("differing", "devices"), [({}, 2), ({"process_count": 2}, 0), ({"device_kind": "H100"}, 0)]
)
def test_a_run_had_devices_of_a_cpu_in_one_process(differing: dict[str, Any], devices: int) -> None:
    manifest = {"device_kind": "cpu", "process_count": 1, "device_count": 2}
    assert devices_before(manifest | differing) == devices
    assert devices_before(None) == 0
