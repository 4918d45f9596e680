"""What a teacher does to a loss and to an experiment, on networks of one or two layers."""

import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import linear
import numpy as np
import pytest
from formulas import value
from initial import initial
from jax.sharding import PartitionSpec as P
from orbax.checkpoint import StandardCheckpointer
from recorded import digest, logged
from scipy.special import log_softmax

from bigmodel.experiment import Experiment, InputError, Model
from bigmodel.models.texts import logits
from bigmodel.models.texts.gpt import Gpt
from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.side_by_side import side_by_side
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.training import Ensemble, Optimizer, classifier, language_model
from bigmodel.training.ensemble import Members, per_member
from bigmodel.training.metrics import cross_entropy
from bigmodel.training.teaching.distillation import LOGITS, Teacher, Teaching, distance, distilled
from bigmodel.tree import named_leaves

RNG = np.random.default_rng(0)


def apply(variables: Any, batch: Any, *, train: bool, key: Any) -> tuple[jax.Array, dict]:
    del train, key
    params = variables["params"]
    return jnp.tanh(batch["image"] @ params["hidden"]) @ params["out"], {}


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


PARAMS = {"hidden": normal(8, 16), "out": normal(16, 3)}
NETWORK = Model(lambda *_: {}, apply, ((r"hidden$", P("fsdp")), (r"out$", P(None, "fsdp"))))


def teaching(sha256: str = "a", **options: Any) -> Teaching:
    return Teaching(Teacher("runs/a", **options), NETWORK, {"params": PARAMS}, sha256)


def experiment(
    taught_by: Teaching | None = None, *, ensemble: int = 1, **options: Any
) -> Experiment:
    optimizer = Optimizer(**{"name": "sgd", "learning_rate": 0.5, **options})
    return classifier(
        linear.MODEL,
        linear.data(),
        "abc",
        optimizer,
        steps=40,
        ensemble=Ensemble(ensemble),
        teaching=taught_by,
    )


def step(one: Experiment, key: int = 0) -> Any:
    state = initial(one.init, jax.random.key(key))
    return state, jax.jit(one.train_step)(state, one.data.train(0, 0), jax.random.key(key))


@pytest.mark.parametrize(("weight", "temperature"), [(0.3, 2.0), (1.0, 1.0), (0.0, 5.0)])
def test_the_loss_is_the_formula_of_hinton_without_padding(weight, temperature):
    student, teacher = 3 * normal(6, 4), 3 * normal(6, 4)
    label, mask = RNG.integers(0, 4, 6), np.float32([1, 1, 0, 1, 1, 0])
    batch = {"label": label.astype(np.int32), "weight": mask, LOGITS: jnp.asarray(teacher)}
    one = Teaching(Teacher("a", weight, temperature), NETWORK, {}, "")
    found = distilled(cross_entropy, one)(jnp.asarray(student), batch)
    wanted = log_softmax(teacher.astype(np.float64) / temperature, axis=1)
    own = log_softmax(student.astype(np.float64) / temperature, axis=1)
    soft = temperature**2 * (np.exp(wanted) * (wanted - own)).sum(1)
    hard = -log_softmax(student.astype(np.float64), axis=1)[np.arange(6), label]
    expected = ((1 - weight) * hard + weight * soft)[mask > 0].mean()
    assert value(found) == pytest.approx(expected, rel=1e-5)
    assert float(found.count) == 4


def test_gradients_of_soft_targets_are_as_large_at_any_temperature():
    """In the limit they are ``(s - t) / classes`` of centred logits (Hinton et al., 2015)."""
    student, teacher = jnp.asarray(normal(1, 5)), jnp.asarray(normal(1, 5))
    found = jax.grad(lambda s: distance(s, teacher, 1000.0).sum())(student)
    apart = np.asarray(student - teacher)
    np.testing.assert_allclose(found, (apart - apart.mean()) / 5, atol=2e-3)
    assert float(distance(student, student, 3.0)[0]) == pytest.approx(0, abs=1e-6)


def test_a_step_learns_from_the_teacher_and_leaves_it_as_it_was():
    """All soft and at temperature 1, the gradient is that of the teacher's probabilities."""
    one = experiment(teaching(weight=1.0, temperature=1.0))
    state, (after, metrics, gradients) = step(one)
    image = one.data.train(0, 0)["image"]
    taught_as = jax.nn.softmax(apply({"params": PARAMS}, {"image": image}, train=0, key=0)[0])
    own = jax.nn.softmax(image @ state.params["kernel"])
    expected = image.T @ np.asarray(own - taught_as) / len(image)
    np.testing.assert_allclose(gradients["kernel"], expected, rtol=1e-4, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, after.given["params"], PARAMS)
    assert after.evaluated.keys() == {"params"}
    assert value(metrics["loss"]) != pytest.approx(value(step(experiment())[1][1]["loss"]))


@pytest.mark.parametrize("change", [{"accumulate": 4}, {"ema": 0.9}, {"skip_nonfinite": 1}])
def test_what_else_is_done_in_a_step_goes_with_a_teacher(change):
    plain, other = (step(experiment(teaching(), **options))[1] for options in ({}, change))
    np.testing.assert_allclose(other[2]["kernel"], plain[2]["kernel"], rtol=1e-4, atol=1e-6)
    assert value(other[1]["loss"]) == pytest.approx(value(plain[1]["loss"]), rel=1e-5)


def test_each_member_of_an_ensemble_learns_from_the_teacher_alone():
    loss = per_member(distilled(cross_entropy, teaching()))
    members, batch = normal(3, 16, 3), linear.data().train(0, 0)
    batch = {**batch, LOGITS: jnp.asarray(normal(16, 3))}
    alone = [value(loss(jnp.asarray(member), batch)) for member in members]
    assert value(loss(Members(jnp.asarray(members)), batch)) == pytest.approx(np.mean(alone))
    _, (after, _, _) = step(experiment(teaching(), ensemble=2))
    assert after.params["members"]["kernel"].shape == (2, 8, 3)


def test_a_language_model_of_a_large_vocabulary_learns_the_same(monkeypatch):
    options = Gpt(layers=1, width=16, heads=2)
    sizes = {"vocab_size": 11, "context": 8}
    tokens = RNG.integers(11, size=(4, 9)).astype(np.int32)
    weight = np.ones((4, 8), np.float32)
    batch = {"tokens": tokens[:, :-1], "targets": tokens[:, 1:], "weight": weight}
    data = linear.data()._replace(train=lambda *_: batch, splits={"test": [batch]}, batch_size=4)

    def gradients() -> dict[str, jax.Array]:
        model = options.build(**sizes)
        learned = initial(model.init, jax.random.key(1), batch)
        one = Teaching(Teacher("a"), model, learned, "")
        found = language_model(
            model, data, np.ones(11, np.float32), Optimizer(), steps=9, teaching=one
        )
        _, (after, _, found_gradients) = step(found)
        assert jnp.isfinite(value(found.eval_step(after, batch)["loss"]))
        return named_leaves(found_gradients)

    whole = gradients()
    for name, number in {"LARGE": 5, "TILE": 4, "SPLIT": 2}.items():
        monkeypatch.setattr(logits, name, number)
    for path, gradient in gradients().items():
        np.testing.assert_allclose(gradient, whole[path], rtol=1e-3, atol=1e-6, err_msg=path)


def test_runs_side_by_side_have_a_teacher_each() -> None:
    one = experiment(teaching())
    both = side_by_side(one)
    keys = jnp.stack([jax.random.key(number) for number in range(2)])
    states, metrics, _ = jax.jit(both.train_step)(both.init(keys), both.data.train((0, 0), 0), keys)
    for number in range(2):
        _, (alone, measured, _) = step(one, number)
        own = jax.tree.map(lambda leaf: leaf[number], (states, metrics))  # noqa: B023
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            own,
            (alone, measured),
        )


@pytest.mark.parametrize("layout", [MeshShape(8), MeshShape(2, 4)])
def test_a_teacher_is_split_over_a_mesh_by_its_own_rules(layout: MeshShape) -> None:
    one = experiment(teaching())
    losses = []
    for mesh in (MeshShape(1), layout):
        compiled = compile_experiment(one, make_mesh(mesh))
        state = compiled.init(jax.random.key(0))
        key, index = compiled.place_scalar(jax.random.key(1)), compiled.place_scalar(np.int32(0))
        for number in range(3):
            batch = compiled.place(one.data.train(0, number))
            state, index, report = compiled.step(state, batch, key, index)
        losses.append(value(report.metrics["loss"]))
        out = state.given["params"]["out"]
        assert out.sharding.shard_shape(out.shape) == (16, 3)
        hidden = state.given["params"]["hidden"]
        assert hidden.sharding.shard_shape(hidden.shape) == (8 // mesh.fsdp, 16)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_no_checkpoint_has_the_teacher_and_a_resume_has_it_again(tmp_path: Path) -> None:
    one, options = experiment(teaching()), {"steps": 12, "eval_every": 4}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert linear.run(whole, one=one, **options) == 0
    saved = StandardCheckpointer().metadata((whole / "checkpoints" / "8").absolute())
    assert {path.partition("/")[0] for path in saved.item_metadata} == {"student"}
    shutil.copytree(whole, cut)
    # What is left of a run that was killed in its ninth step.
    shutil.rmtree(cut / "checkpoints" / "12")
    (cut / "summary.json").unlink()
    assert linear.run(cut, one=one, **options) == 0
    assert digest(cut) == digest(whole)
    assert logged(cut) == logged(whole)
    with pytest.raises(InputError, match=r"the data has changed"):
        linear.run(cut, one=experiment(teaching(sha256="b")), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 1.5}, "--teacher.weight 1.5 must be from 0 to 1"),
        ({"temperature": 0.0}, "--teacher.temperature 0.0 must be above 0"),
        ({"temperature": float("inf")}, "--teacher.temperature inf must be above 0"),
    ],
)
def test_options_that_teach_nothing_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Teacher("a", **options)
