"""The loop drives any network behind the contract's Model, not Flax Linen alone."""

import dataclasses
from pathlib import Path

import jax
import linear
from flax import nnx
from jax.sharding import PartitionSpec as P
from recorded import lines

from bigmodel.experiment import Model


def falls(directory: Path) -> bool:
    losses = [*lines(directory, "validation/loss").values()]
    return losses[-1] < 0.8 * losses[0]


def test_plain_pytree_model_trains(tmp_path: Path) -> None:
    assert linear.run(tmp_path) == 0
    assert falls(tmp_path)


def test_nnx_model_with_batch_statistics_trains(tmp_path: Path) -> None:
    class Network(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.hidden = nnx.Linear(8, 16, rngs=rngs)
            self.norm = nnx.BatchNorm(16, rngs=rngs)
            self.out = nnx.Linear(16, 3, rngs=rngs)

        def __call__(self, x):
            return self.out(nnx.relu(self.norm(self.hidden(x))))

    def split(network):
        graph, params, rest = nnx.split(network, nnx.Param, ...)
        return graph, {"params": nnx.to_pure_dict(params), "rest": nnx.to_pure_dict(rest)}

    def init(key, batch):
        del batch
        return split(Network(nnx.Rngs(key)))[1]

    template = nnx.eval_shape(lambda: Network(nnx.Rngs(0)))
    graph, params, rest = nnx.split(template, nnx.Param, ...)

    def apply(variables, batch, *, train, key):
        del key
        params_, rest_ = jax.tree.map(lambda x: x, params), jax.tree.map(lambda x: x, rest)
        nnx.replace_by_pure_dict(params_, variables["params"])
        nnx.replace_by_pure_dict(rest_, variables["rest"])
        network = nnx.merge(graph, params_, rest_)
        network = nnx.view(network, use_running_average=not train)
        outputs = network(batch["image"])
        return outputs, {"rest": split(network)[1]["rest"]} if train else {}

    one = linear.experiment(model=Model(init, apply, ((".*", P()),)))
    before = one.init(jax.random.key(0))
    assert {field.name for field in dataclasses.fields(before)} >= {"params", "variables"}
    assert linear.run(tmp_path, one=one) == 0
    assert falls(tmp_path)
