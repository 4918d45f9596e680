"""What parameters sharded over eight TPUs send, as the TPU's own compiler decides it."""

import importlib.util
from collections import Counter
from pathlib import Path

import jax
import pytest

from bigmodel.partition import STACKED, fitting, spec_of
from bigmodel.planning.planning import compile_choice, read
from bigmodel.planning.target import target
from bigmodel.tree import named_leaves

ROOT = Path(__file__).parent.parent.parent
OPTIONS = ["--mesh.fsdp=8", "--model.scan", "--model.layers=3", "--optimizer.name=adamw"]
OPTIONS += ["--data.batch-size=16", "--model.width=128"]
SLACK = 0.03
"""Of all bytes, what else is sent: tokens, and sums of metrics, norms and biases."""


@pytest.mark.matrix
@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs the extra tpu")
@pytest.mark.parametrize("script", ["gpt", "bert", "vit", "transformer"])
def test_layers_are_gathered_forward_and_backward_and_their_gradients_scattered(script) -> None:
    # Stage 3 of ZeRO (Rajbhandari et al., 2020). What is outside of the stack is gathered once.
    path = ROOT / "experiments" / f"{script}.py"
    build, config = read(path, OPTIONS)
    experiment = build(config)
    params = named_leaves(jax.eval_shape(experiment.init, jax.random.key(0)).params)
    layers = others = 0
    for name, leaf in params.items():
        spec = spec_of(experiment.partition, name, leaf.ndim)
        if "fsdp" in fitting(spec, leaf.shape, {"fsdp": 8}):
            layers += 4 * leaf.size * (STACKED in name)
            others += 4 * leaf.size * (STACKED not in name)
    slices = target(topology="v5e:2x4", devices=None, chip=None)
    found = Counter()
    for one in compile_choice(path, OPTIONS, {}, slices, quick=True).exchanges:
        assert one.group_size == 8
        found[one.kind] += one.bytes * one.times
    slack = SLACK * (layers + others)
    assert 0 <= found["all-gather"] - 2 * layers - others < slack
    assert 0 <= found["reduce-scatter"] - layers < others + slack
    assert found["all-reduce"] < slack
