"""Pruned networks: how many zeros there are when, which, and that they stay."""

import itertools
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recorded import lines, logged, summary
from test_contract import ROOT, build, run, stop_after

from bigmodel.experiment import Data, InputError, Model
from bigmodel.inference.measuring import evaluate
from bigmodel.inference.trained import Trained
from bigmodel.run_directory.same_run import check_config
from bigmodel.training.compression.pruning import Prune, erdos_renyi, pruning
from bigmodel.training.metrics import cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised

RNG = np.random.default_rng(0)
BATCH = {
    "image": RNG.normal(size=(8, 16)).astype(np.float32),
    "label": RNG.integers(0, 5, 8).astype(np.int32),
    "weight": np.ones(8, np.float32),
}
STEPS = 20
EXPERIMENTS = ROOT / "experiments"
QAT = "--quantization.weights=int8"


def init(key, batch):
    del batch
    shapes = {"dense": (16, 20), "head": (20, 5)}
    kernels = {
        name: {"kernel": jax.random.normal(key, shape), "bias": jnp.zeros(shape[1])}
        for name, shape in shapes.items()
    }
    return {"params": kernels}


def apply(variables, batch, *, train, key):
    del train, key
    x, params = batch["image"], variables["params"]
    x = jnp.tanh(x @ params["dense"]["kernel"] + params["dense"]["bias"][None])
    return x @ params["head"]["kernel"] + params["head"]["bias"][None], {}


def course(options: Prune, **optimizer):
    """The states after each step, and the shares of zeros that were reported."""
    model = pruning(Model(init, apply, ()), options)
    data = Data(lambda *_: BATCH, {}, 8, 1, "")
    chosen = Optimizer("adam", learning_rate=0.05, **optimizer)
    experiment = supervised(model, cross_entropy, {}, chosen, data, steps=STEPS)
    step, states = jax.jit(experiment.train_step), [experiment.init(jax.random.key(0))]
    shares = []
    for number in range(STEPS):
        state, metrics, _ = step(states[-1], BATCH, jax.random.key(number))
        states.append(state)
        shares.append(float(metrics["sparsity"].total / metrics["sparsity"].count))
    return states, shares


def zeros(state, name="dense", of="params"):
    return np.asarray(getattr(state, of)[name]["kernel"]) == 0


def test_the_share_of_zeros_is_that_of_the_cubic_schedule() -> None:
    options = Prune(sparsity=0.8, allocation="uniform", begin=0.2, end=0.7, every=2)
    states, shares = course(options)
    for step, state in enumerate(states[1:]):
        last = min(step - step % 2, 14)  # Steps 4, 6, 8, 10, 12 and 14.
        passed = (last - 4) / 10
        expected = 0.8 * (1 - (1 - passed) ** 3) if step >= 4 else 0
        for name, size in (("dense", 320), ("head", 100)):
            assert zeros(state, name).sum() == round(expected * size)
    assert shares[-1] == pytest.approx(0.8)


def test_erk_prunes_kernels_of_few_inputs_and_outputs_less() -> None:
    states, shares = course(Prune(sparsity=0.8, allocation="erk", every=2))
    # 84 parameters are left, in proportion to 16 + 20 and 20 + 5.
    assert [zeros(states[-1], name).sum() for name in ("dense", "head")] == [270, 66]
    assert shares[-1] == pytest.approx(0.8)


@pytest.mark.parametrize("sparsity", [1e-9, 0.2, 0.5, 0.8, 0.99])
def test_erk_leaves_small_kernels_whole_and_prunes_as_much_together(sparsity: float) -> None:
    shapes = {"conv/kernel": (3, 3, 1, 8), "dense/kernel": (400, 300), "head/kernel": (8, 2)}
    shares = erdos_renyi(sparsity, shapes)
    sizes = {path: math.prod(shape) for path, shape in shapes.items()}
    gone = sum(shares[path] * size for path, size in sizes.items())
    assert gone == pytest.approx(sparsity * sum(sizes.values()))
    assert all(0 <= share < 1 for share in shares.values())
    if sparsity == 0.8:
        assert shares["conv/kernel"] == shares["head/kernel"] == 0


def test_erk_of_a_stack_is_that_of_each_block() -> None:
    alone = erdos_renyi(0.7, {"a/kernel": (8, 9), "b/kernel": (40, 50)})
    stacked = erdos_renyi(0.7, {"members/a/kernel": (3, 8, 9), "members/b/kernel": (3, 40, 50)})
    assert [*stacked.values()] == pytest.approx([*alone.values()])


def test_the_smallest_go_and_do_not_come_back() -> None:
    states, _ = course(Prune(sparsity=0.5, begin=0.25, end=0.75, every=5))
    for before, after in itertools.pairwise(states):
        assert (zeros(after) | ~zeros(before)).all()
    # All of the first 5 steps trained the dense kernel, of which the smallest then go.
    first = np.asarray(states[11].params["dense"]["kernel"])
    gone = zeros(states[11]) & ~zeros(states[10])
    assert gone.any()
    assert (
        np.abs(np.asarray(states[10].params["dense"]["kernel"])[gone]).max()
        < 0.2 + np.abs(first[first != 0]).min()
    )


def test_the_optimizer_sees_no_gradient_of_what_is_gone() -> None:
    params = {"dense": {"kernel": jnp.array([[0.0, 2.0], [3.0, 0.0]]), "bias": jnp.zeros(2)}}
    gradients = jax.tree.map(jnp.ones_like, params)
    model = pruning(Model(lambda *_: {"params": params}, apply, ()), Prune(sparsity=0.5, begin=0.2))
    assert model.projection is not None
    for step, expected in ((2, [[1, 1], [1, 1]]), (3, [[0, 1], [1, 0]])):
        found = model.projection.gradients(gradients, params, jnp.int32(step), 10)
        np.testing.assert_array_equal(found["dense"]["kernel"], expected)
        np.testing.assert_array_equal(found["dense"]["bias"], [1, 1])


def test_two_of_four_inputs_of_an_output_are_zero() -> None:
    states, _ = course(Prune(sparsity=0.5, pattern="2:4", every=2))
    assert (zeros(states[-1]).reshape(4, 4, 20).sum(axis=1) == 2).all()
    assert (zeros(states[-1], "head").reshape(5, 4, 5).sum(axis=1) == 2).all()


def test_an_average_is_zero_where_the_parameters_are() -> None:
    states, _ = course(Prune(sparsity=0.8, every=2), ema=0.9)
    average = np.asarray(states[-1].evaluated["params"]["dense"]["kernel"])
    np.testing.assert_array_equal(average == 0, zeros(states[-1]))


def test_members_of_an_ensemble_are_pruned_each_alone() -> None:
    scaled = jnp.asarray(RNG.normal(size=(2, 6, 5)) * [[[1.0]], [[100.0]]], jnp.float32)
    params = {"members": {"kernel": scaled}}
    model = pruning(Model(lambda *_: {"params": params}, apply, ()), Prune(sparsity=0.5))
    found = model.projection.params(params, params, jnp.int32(7), 10)["members"]["kernel"]
    np.testing.assert_array_equal((np.asarray(found) == 0).sum(axis=(1, 2)), [15, 15])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, "--prune.sparsity 1.0"),
        ({"sparsity": 0.8, "pattern": "2:4"}, "two of four are 0.5"),
        ({"sparsity": 0.5, "begin": 0.8}, "in this order"),
        ({"sparsity": 0.5, "every": 0}, "--prune.every 0"),
        ({"sparsity": 0.5, "paths": ("[",)}, "--prune.paths '['"),
        ({"sparsity": 0.5, "paths": ("bias",)}, "finds no kernel"),
    ],
)
def test_what_cannot_be_pruned_is_refused(options, message) -> None:
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        pruning(Model(init, apply, ()), Prune(**options)).init(jax.random.key(0), BATCH)


def test_a_pruned_run_does_not_become_longer() -> None:
    # Its zeros come at shares of the run, and would have to grow again.
    def config(steps: int) -> dict[str, Any]:
        constant = {"optimizer": {"schedule": "constant"}, "run": {"steps": steps}}
        return {**constant, "prune": {"sparsity": 0.8}}

    with pytest.raises(InputError, match=r"on which prune\.sparsity 0\.8 depends"):
        check_config(Path("run"), config(10), config(20), data_known=True, total=20, reached=10)


@pytest.mark.parametrize("script", [EXPERIMENTS / "mlp.py"])
def test_a_pruned_run_resumes_with_its_zeros_bit_for_bit(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(script, "--run.steps=12", "--prune.sparsity=0.8", "--prune.every=2", QAT)
    options: dict[str, Any] = {"steps": 12, "eval_every": 6, "log_every": 2}
    assert run(built, tmp_path / "whole", **options) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        assert run(built, tmp_path / "cut", **options) == 0
    assert run(built, tmp_path / "cut", **options) == 0
    assert (
        summary(tmp_path / "whole")["params_digest"] == summary(tmp_path / "cut")["params_digest"]
    )
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")
    assert lines(tmp_path / "cut", "train/sparsity")[12] == pytest.approx(0.8, abs=1e-3)
    # It answers by the bits that it was evaluated with, and was trained to have.
    trained = Trained(tmp_path / "cut", "last")
    found = evaluate(trained).values
    assert {name: summary(tmp_path / "cut")[name] for name in found} == pytest.approx(
        found, rel=1e-4
    )
    kernel = np.asarray(trained.variables["params"]["head"]["kernel"])
    whole = kernel / np.abs(kernel).max(axis=0) * 127
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-3)
