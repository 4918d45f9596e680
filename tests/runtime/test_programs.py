"""Runs whose configs differ in numbers alone come to one program, and no others do."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import linear
import numpy as np
import pytest
from test_contract import ROOT, load, scripts

from bigmodel.config import value_at, with_values
from bigmodel.experiment import Experiment
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.loop import init_key, step_key
from bigmodel.runtime.programs import Programs
from bigmodel.runtime.settings import Settings
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.training.optimizers import Optimizer

MESH = make_mesh(MeshShape(1))
WIDTHS = ("width", "widths", "hidden")
NUMBERS = ("learning_rate", "weight_decay", "dropout")


def paths(config: Any, *names: str) -> list[str]:
    """The options of a config with one of the names, in any of its parts that are trained."""
    found = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in names:
            found.append(field.name)
        elif dataclasses.is_dataclass(value) and field.name != "quality":
            found += [f"{field.name}.{path}" for path in paths(value, *names)]
    return found


def first_of(script: Path) -> tuple[Any, Settings]:
    """A script, and its small config with dropout and decay everywhere."""
    module = load(script)
    config = parse(module.Config(), getattr(module, "TINY", ()), description="")
    found = paths(config, *NUMBERS)
    assert any(path.endswith("optimizer.learning_rate") for path in found)
    return module, with_values(config, dict.fromkeys(found, 0.01))


def doubled(value: Any) -> Any:
    return tuple(map(doubled, value)) if isinstance(value, tuple) else value and 2 * value


def compiled_step(programs: Programs, experiment: Experiment) -> Any:
    return programs.compile(experiment, MESH).step


@scripts(("cnn", "gpt", "gan", "mlp"))
def test_numbers_share_a_step_and_widths_do_not(script: Path) -> None:
    module, config = first_of(script)
    others = with_values(config, dict.fromkeys(paths(config, *NUMBERS), 0.02))
    widths = {path: value_at(config, path) for path in paths(config, *WIDTHS)}
    wider = with_values(config, {path: doubled(value) for path, value in widths.items()})
    programs = Programs()
    step = compiled_step(programs, module.build(config))
    assert compiled_step(programs, module.build(others)) is step
    assert compiled_step(programs, module.build(wider)) is not step


def trained(script: Path, *options: str, programs: Programs) -> list[np.ndarray]:
    """The parameters after two steps of a script with options."""
    module = load(script)
    config = parse(module.Config(), (*module.TINY, *options), description="")
    experiment = module.build(config)
    compiled = programs.compile(experiment, MESH)
    state = compiled.init(init_key(0))
    index = compiled.place_scalar(np.int32(0))
    for step in range(2):
        batch = compiled.place(experiment.data.train(0, step))
        state, index, _ = compiled.step(state, batch, compiled.place_scalar(step_key(0)), index)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.matrix
def test_a_shared_step_gives_each_config_its_own_bits() -> None:
    script = ROOT / "experiments" / "mlp.py"
    shared = Programs()
    found = []
    for options in (["--model.dropout=0.2"], ["--model.dropout=0.6"]):
        options = [*options, "--optimizer.weight-decay=0.5"]
        mine = trained(script, *options, programs=shared)
        assert equal(mine, trained(script, *options, programs=Programs()))
        found.append(mine)
    assert not equal(*found)


@pytest.mark.matrix
def test_dropout_inside_of_a_scanned_stack_is_right_too() -> None:
    script = ROOT / "experiments" / "gpt.py"
    shared = Programs()
    found = []
    for rate in ("0.2", "0.6"):
        options = (f"--model.dropout={rate}", "--model.scan")
        mine = trained(script, *options, programs=shared)
        assert equal(mine, trained(script, *options, programs=Programs()))
        found.append(mine)
    assert not equal(*found)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "sgd"},
        {"weight_decay": 0.0},
        {"schedule": "constant"},
        {"l2": 0.1},
        {"clip": 1.0},
    ],
    ids=str,
)
def test_what_is_in_the_program_makes_another_one(changes: dict[str, Any]) -> None:
    programs = Programs()
    base = Optimizer("adamw", learning_rate=0.1, weight_decay=0.1)
    step = compiled_step(programs, linear.experiment(base))
    other = dataclasses.replace(base, **changes)
    assert compiled_step(programs, linear.experiment(other)) is not step
    faster = dataclasses.replace(base, learning_rate=0.2, weight_decay=0.3)
    assert compiled_step(programs, linear.experiment(faster)) is step


@pytest.mark.parametrize("size", [3, 30000])
def test_arrays_that_a_step_has_in_it_make_another_program(size: int) -> None:
    """Large ones too, of which a program's text might show the shape alone."""
    programs = Programs()

    def experiment(array: Any) -> Experiment:
        one = linear.experiment()

        def train_step(state: Any, batch: Any, key: Any) -> Any:
            state, metrics, gradients = one.train_step(state, batch, key)
            scaled = jax.tree.map(lambda leaf: leaf * array[-1], gradients)
            return state, metrics, scaled

        return one._replace(train_step=train_step)

    for kind in (np.asarray, jax.numpy.asarray):
        ones = np.ones(size, np.float32)
        last = ones.copy()
        last[-1] = 2
        first = compiled_step(programs, experiment(kind(ones)))
        assert compiled_step(programs, experiment(kind(last))) is not first


def test_another_mesh_or_batch_is_another_program() -> None:
    programs = Programs()
    one = linear.experiment()
    step = compiled_step(programs, one)
    assert programs.compile(one, make_mesh(MeshShape(2))).step is not step
    assert compiled_step(programs, one._replace(data=linear.data(8))) is not step
    assert compiled_step(programs, linear.experiment()) is step


def test_each_run_has_its_own_initial_state() -> None:
    programs = Programs()
    for rate in (0.1, 0.2):
        one = linear.experiment(Optimizer("adam", learning_rate=rate))
        state = programs.compile(one, MESH).init(init_key(0))
        expected = compile_experiment(one, MESH).init(init_key(0))
        for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(ours, theirs)
