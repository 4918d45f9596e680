"""Softmax regression on a plain pytree: the smallest experiment, for tests of the loop."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from bigmodel.data.batches import epochs, in_order
from bigmodel.experiment import Data, Experiment, Model
from bigmodel.processes.signals import StopRequest
from bigmodel.runtime.entry import run_experiment
from bigmodel.runtime.settings import Run, Settings
from bigmodel.sharding.mesh import MeshShape
from bigmodel.training.metrics import accuracy, cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised


def arrays(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, 8)).astype(np.float32)
    labels = (images @ np.random.default_rng(7).normal(size=(8, 3))).argmax(1)
    return {"image": images, "label": labels.astype(np.int32)}


def data(batch_size: int = 16) -> Data:
    train = arrays(128, 0)
    splits = {"validation": in_order(arrays(40, 1), batch_size)}
    splits["test"] = in_order(arrays(50, 2), batch_size)
    return Data(epochs(train, batch_size), splits, batch_size, 128 // batch_size, "linear")


def init(key: jax.Array, batch: Any) -> dict[str, Any]:
    width = batch["image"].shape[1]
    return {"params": {"kernel": 0.1 * jax.random.normal(key, (width, 3), jnp.float32)}}


def apply(variables: Any, batch: Any, *, train: bool, key: Any) -> tuple[jax.Array, dict]:
    del train, key
    return batch["image"] @ variables["params"]["kernel"], {}


MODEL = Model(init, apply, ((r"kernel$", P("fsdp")),))


def experiment(
    optimizer: Optimizer = Optimizer("adam", learning_rate=0.05),
    model: Model = MODEL,
    **changes: Any,
) -> Experiment:
    built = supervised(model, cross_entropy, {"accuracy": accuracy}, optimizer, data(), steps=40)
    return built._replace(**changes)


def with_data(one: Experiment, **changes: Any) -> Experiment:
    return one._replace(data=one.data._replace(**changes))


def run(directory: Path, *, one: Experiment | None = None, seed: int = 0, **options: Any) -> int:
    """A run through the real loop on one device."""
    settings = {"steps": 40, "eval_every": 10, "log_every": 10, **options}
    config = Settings(seed=seed, mesh=MeshShape(1), run=Run(dir=str(directory), **settings))
    with StopRequest() as stop:
        return run_experiment(one or experiment(), config, script=Path(__file__), stop=stop)
