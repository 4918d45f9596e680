"""What is frozen stays, factors are merged by their formula, and the rest learns as before."""

from typing import Any

import jax
import linear
import numpy as np
import pytest

from bigmodel.experiment import InputError, Model
from bigmodel.frozen import FROZEN, merged
from bigmodel.models import Bert, ConvNet, Mlp
from bigmodel.training import Ensemble, classifier
from bigmodel.training.ensemble import classifiers
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.transfer.beginning import Init, beginning
from bigmodel.training.transfer.freezing import freezing
from bigmodel.tree import named_leaves

RNG = np.random.default_rng(0)
ROWS = {"features": RNG.normal(size=(2, 6)).astype(np.float32)}
IMAGES = {"image": RNG.normal(size=(2, 8, 8, 1)).astype(np.float32)}
TEXTS = {
    "tokens": np.arange(12, dtype=np.int32).reshape(2, 6) % 9,
    "length": np.array([6, 4], np.int32),
}
STACK = Bert(layers=2, width=8, heads=2, scan=True)
MODELS = {
    "dense": (Mlp(widths=(8, 8), dropout=0).build(3), ROWS),
    "stacked": (STACK.classifier(3, vocab_size=9, context=6), TEXTS),
    "convolution": (ConvNet(widths=(4,), dense=(), dropout=0).build(3), IMAGES),
}


def learned_by(model: Model, batch: Any) -> dict[str, np.ndarray]:
    variables = jax.jit(model.init)(jax.random.key(7), batch)
    return {path: np.asarray(leaf) for path, leaf in named_leaves(variables).items()}


def adapted(model: Model, learned: dict[str, np.ndarray], **options: Any) -> Model:
    init = Init("a", lora_rank=2, lora_alpha=6.0, **options)
    return beginning(model, learned, init, sha256="a", tell=str)


def moved(variables: Any) -> Any:
    """The variables with other values of all that is trained."""
    noise = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: np.asarray(leaf) + noise.normal(size=leaf.shape).astype(np.float32),
        variables["params"],
    )
    return {**variables, "params": params}


@pytest.mark.parametrize("kind", MODELS)
def test_factors_begin_with_what_was_learned_and_are_added_by_the_formula(kind: str) -> None:
    model, batch = MODELS[kind]
    before = learned_by(model, batch)
    variables = jax.jit(adapted(model, before).init)(jax.random.key(0), batch)
    jax.tree.map(np.testing.assert_array_equal, named_leaves(merged(variables)), before)
    after, found = moved(variables), named_leaves(merged(moved(variables)))
    starts, factors = (named_leaves(v["params"]["lora"]) for v in (variables, after))
    kernels = {path.removeprefix("a/") for path in factors if path.startswith("a/")}
    assert {f"params/{path}" for path in kernels} == {p for p in before if p.endswith("kernel")}
    for path in kernels:
        w, layers = before[f"params/{path}"], 2 if "stacked" in path else 1
        matrices = [w, factors[f"a/{path}"], factors[f"b/{path}"]]
        w_, a, b = (m.reshape(layers, -1, m.shape[-1]) for m in matrices)
        expected = w_ + 6.0 / 2 * np.einsum("lir,lro->lio", a, b)
        np.testing.assert_allclose(
            found[f"params/{path}"], expected.reshape(w.shape), rtol=1e-5, atol=1e-5
        )
        assert np.std(starts[f"a/{path}"]) == pytest.approx(w_.shape[1] ** -0.5, rel=0.6)


def test_the_members_of_an_adapted_ensemble_give_what_the_merged_ones_give() -> None:
    model, batch = MODELS["stacked"]
    whole = classifiers(adapted(model, learned_by(model, batch)), Ensemble(2))
    variables = moved(jax.jit(whole.init)(jax.random.key(0), batch))
    found, updates = jax.jit(lambda v: whole.apply(v, batch, train=False, key=None))(variables)
    plain = classifiers(model, Ensemble(2))
    expected = jax.jit(lambda v: plain.apply(v, batch, train=False, key=None)[0])(merged(variables))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert updates == {}


def experiment(model: Model, **options: Any) -> tuple[Any, Any]:
    batch = {**ROWS, "label": np.array([0, 2], np.int32), "weight": np.ones(2, np.float32)}
    data = linear.data()._replace(train=lambda *_: batch, splits={"test": [batch]}, batch_size=2)
    return classifier(model, data, ["a", "b", "c"], Optimizer("adam", **options), steps=10), batch


@pytest.mark.parametrize("ema", [None, 0.9])
def test_what_is_frozen_stays_and_has_no_moments_and_no_average(ema: float | None) -> None:
    one, batch = experiment(MODELS["dense"][0], freeze=("dense_0/kernel", "dense_1"), ema=ema)
    before = jax.jit(one.init)(jax.random.key(0))
    after, _, gradients = jax.jit(one.train_step)(before, batch, jax.random.key(1))
    frozen, trained = named_leaves(before.variables[FROZEN]), {*named_leaves(before.params)}
    assert {*frozen} == {"dense_0/kernel", "dense_1/kernel", "dense_1/bias"}
    assert trained == {"dense_0/bias", "head/kernel", "head/bias"}
    jax.tree.map(np.testing.assert_array_equal, frozen, named_leaves(after.variables[FROZEN]))
    assert {*named_leaves(gradients)} == {*named_leaves(before.opt_state[0].mu)} == trained
    if ema:
        assert {*named_leaves(before.average)} == {f"params/{path}" for path in trained}
    assert {*named_leaves(merged(after.evaluated)["params"])} == trained | {*frozen}


def test_what_is_frozen_has_no_memory_for_moments_and_gradients() -> None:
    """A clipped norm needs all gradients at once, two layers of 1 MB each among them."""

    def needed(**options: Any) -> int:
        model = Mlp(widths=(512, 512, 512), dropout=0).build(3)
        one, batch = experiment(model, clip=1.0, **options)
        step = jax.jit(lambda *given: one.train_step(*given)[:2], donate_argnums=0)
        state = jax.eval_shape(one.init, jax.random.key(0))
        compiled = step.lower(state, batch, jax.random.key(0)).compile()
        memory = compiled.memory_analysis()
        return memory.argument_size_in_bytes + memory.temp_size_in_bytes

    layer = 512 * 512 * 4
    saved = needed() - needed(freeze=("dense_[12]",))
    assert saved > 2.9 * 2 * layer


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("encoder",), "--optimizer.freeze encoder finds no parameter; there are dense_0/bias"),
        (("dense", "head"), "--optimizer.freeze dense head leaves nothing to train"),
    ],
)
def test_a_pattern_that_freezes_nothing_or_all_is_refused(patterns, message) -> None:
    with pytest.raises(InputError, match=message):
        freezing(MODELS["dense"][0], patterns).init(jax.random.key(0), ROWS)


def test_adapters_learn() -> None:
    model, _ = MODELS["dense"]
    one, batch = experiment(adapted(model, learned_by(model, ROWS)), learning_rate=0.05)
    state = jax.jit(one.init)(jax.random.key(0))
    step, losses = jax.jit(one.train_step), []
    for number in range(20):
        state, metrics, _ = step(state, batch, jax.random.key(number))
        losses.append(float(metrics["loss"].total))
    assert losses[-1] < 0.5 * losses[0]
