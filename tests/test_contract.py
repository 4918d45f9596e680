"""Every file of ``experiments/`` keeps the contract; a new one is found by being there.

A script may have ``TINY``: the options that make a run of seconds.
"""

import dataclasses
import functools
import importlib.util
import itertools
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from bigmodel.config import to_json
from bigmodel.experiment import Experiment
from bigmodel.partition import spec_of
from bigmodel.processes.signals import StopRequest
from bigmodel.run_directory.history import read_metrics
from bigmodel.runtime.command_line import option_names, parse
from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.entry import main, run_experiment
from bigmodel.runtime.loop import init_key, step_key
from bigmodel.runtime.recorder import RunRecorder
from bigmodel.runtime.retracing import RetraceError
from bigmodel.runtime.settings import Settings
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tree import named_leaves

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path for path in (ROOT / "experiments").glob("*.py") if path.stem != "__init__")
LAYOUTS = [MeshShape(2, 4)]
# The first of each kind of training step; the whole matrix of all scripts is marked so.
KINDS = ("cnn", "gpt", "gan")
OTHER_LAYOUTS = [MeshShape(d, f) for d, f in ((2, 1), (1, 4), (8, 1))]
LAST_LAYOUTS = [MeshShape(d, f) for d, f in ((4, 1), (1, 2), (1, 8))]
# Those and others of which each has layers of its own.
LAYERS = (*KINDS, "transformer")


def scripts(kept: Sequence[str] | None = None) -> Any:
    """A case for each script; those of one script run in one process, which compiles it once.

    Those that are not among the kept ones, if there are such, are left to the matrix.
    """
    cases = []
    for path in SCRIPTS:
        marks = [pytest.mark.xdist_group(path.stem)]
        if kept is not None and path.stem not in kept:
            marks.append(pytest.mark.matrix)
        cases.append(pytest.param(path, id=path.stem, marks=marks))
    return pytest.mark.parametrize("script", cases)


def layouts(shapes: Sequence[MeshShape]) -> Any:
    return pytest.mark.parametrize(
        "layout", shapes, ids=lambda shape: f"data{shape.data}-fsdp{shape.fsdp}"
    )


def scripts_on_other_layouts() -> Any:
    """Each script on each; outside the matrix one."""
    kept = {("cnn", OTHER_LAYOUTS[0])}
    cases = []
    for path, layout in itertools.product(SCRIPTS, OTHER_LAYOUTS):
        marks = [pytest.mark.xdist_group(path.stem)]
        if (path.stem, layout) not in kept:
            marks.append(pytest.mark.matrix)
        name = f"data{layout.data}-fsdp{layout.fsdp}-{path.stem}"
        cases.append(pytest.param(path, layout, id=name, marks=marks))
    return pytest.mark.parametrize(("script", "layout"), cases)


each_script = scripts()


class Built(NamedTuple):
    module: ModuleType
    config: Settings
    experiment: Experiment


@functools.cache
def load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"experiment_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def build(script: Path, *options: str) -> Built:
    module = load(script)
    options = (*getattr(module, "TINY", ()), *options)
    config = parse(module.Config(), options, description="")
    return Built(module, config, module.build(config))


def losses(built: Built, layout: MeshShape, steps: int) -> tuple[list[float], Any]:
    """The losses of the first steps on a mesh, and the state after them."""
    compiled = compile_experiment(built.experiment, make_mesh(layout))
    state = compiled.init(init_key(built.config.seed))
    key = compiled.place_scalar(step_key(built.config.seed))
    index = compiled.place_scalar(np.int32(0))
    found = []
    for step in range(steps):
        batch = compiled.place(built.experiment.data.train(built.config.seed, step))
        state, index, record = compiled.step(state, batch, key, index)
        mean = record.metrics["loss"]
        found.append(float(mean.total) / float(mean.count))
    return found, state


def run(built: Built, directory: Path, *, layout: MeshShape = MeshShape(1), **options: Any) -> int:
    """A run through the real loop, into a directory."""
    settings = dataclasses.replace(built.config.run, dir=str(directory), **options)
    config = dataclasses.replace(built.config, run=settings, mesh=layout)
    with StopRequest() as stop:
        script = Path(built.module.__file__)
        return run_experiment(built.experiment, config, script=script, stop=stop)


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """As if SIGTERM came after so many steps of this process."""
    trained = RunRecorder.trained

    def stopping(self: RunRecorder, at: int, report: Any) -> None:
        trained(self, at, report)
        if at == step:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(RunRecorder, "trained", stopping)


def logged(directory: Path) -> list[dict[str, Any]]:
    lines = read_metrics(directory / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k == "step" or "/" in k} for line in lines]


def summary(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "summary.json").read_text())


@each_script
def test_loss_falls(script: Path) -> None:
    found = single_device_losses(script)
    assert all(np.isfinite(found))
    assert np.mean(found[-5:]) < 0.98 * np.mean(found[:5])


@scripts(["gpt"])
def test_initial_values_have_the_bits_of_the_last_level_of_optimisation(script: Path) -> None:
    experiment = build(script).experiment
    found = compile_experiment(experiment, make_mesh(MeshShape(1))).init(init_key(3))
    expected = jax.jit(experiment.init)(init_key(3))
    jax.tree.map(np.testing.assert_array_equal, *jax.device_get((found, expected)))


@scripts(KINDS)
def test_second_trace_is_an_error_that_names_the_argument(script: Path) -> None:
    built = build(script)
    compiled = compile_experiment(built.experiment, make_mesh(MeshShape(1)))
    state = compiled.init(init_key(0))
    batch = dict(built.experiment.data.train(0, 0))
    key, index = compiled.place_scalar(step_key(0)), compiled.place_scalar(np.int32(0))
    state, index, _ = compiled.step(state, compiled.place(batch), key, index)
    name = next(iter(batch))
    batch[name] = np.concatenate([batch[name], batch[name]])
    with pytest.raises(RetraceError, match=f"batch/{name} was"):
        compiled.step(state, compiled.place(batch), key, index)


@scripts(KINDS)
def test_resume_gives_the_bits_and_the_metrics_of_an_undisturbed_run(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(script)
    options = {"steps": 9, "eval_every": 4, "log_every": 2}
    assert run(built, tmp_path / "whole", **options) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        assert run(built, tmp_path / "cut", **options) == 0
    assert not (tmp_path / "cut" / "summary.json").exists()
    assert run(built, tmp_path / "cut", **options) == 0
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert whole["params_digest"] == cut["params_digest"]
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")
    assert [line["step"] for line in logged(tmp_path / "cut")] == [1, 2, 4, 4, 6, 8, 8, 9, 9]


@scripts(["gan"])
def test_same_seed_same_digest_other_seed_another(script: Path, tmp_path: Path) -> None:
    built = build(script)
    other = built._replace(config=dataclasses.replace(built.config, seed=1))
    options = {"steps": 3, "eval_every": 3}
    digests = []
    for name, one in (("a", built), ("b", built), ("c", other)):
        assert run(one, tmp_path / name, **options) == 0
        digests.append(summary(tmp_path / name)["params_digest"])
    assert digests[0] == digests[1] != digests[2]


@scripts_on_other_layouts()
def test_losses_do_not_depend_on_any_mesh(script: Path, layout: MeshShape) -> None:
    test_losses_do_not_depend_on_the_mesh(script, layout)


@pytest.mark.matrix
@each_script
@layouts(LAST_LAYOUTS)
def test_losses_do_not_depend_on_the_last_meshes(script: Path, layout: MeshShape) -> None:
    test_losses_do_not_depend_on_the_mesh(script, layout)


@scripts(LAYERS)
@layouts(LAYOUTS)
def test_losses_do_not_depend_on_the_mesh(script: Path, layout: MeshShape) -> None:
    built = build(script)
    spread, state = losses(built, layout, 20)
    np.testing.assert_allclose(spread, single_device_losses(script)[:20], rtol=1e-5)
    leaves = jax.tree.leaves(state.params)
    sharded = any(leaf.sharding.shard_shape(leaf.shape) != leaf.shape for leaf in leaves)
    assert sharded == (layout.fsdp > 1)


@pytest.mark.matrix
@scripts(["gpt"])
def test_losses_of_the_default_config_do_not_depend_on_the_mesh(script: Path) -> None:
    config = load(script).Config()
    built = Built(load(script), config, load(script).build(config))
    alone, _ = losses(built, MeshShape(1), 20)
    spread, _ = losses(built, MeshShape(2, 4), 20)
    np.testing.assert_allclose(spread, alone, rtol=1e-5)


@functools.cache
def single_device_losses(script: Path) -> list[float]:
    return losses(build(script), MeshShape(1), 60)[0]


@scripts(["gpt"])
def test_checkpoint_of_one_mesh_goes_on_under_another(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(script)
    options = {"steps": 6, "eval_every": 3}
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert run(built, tmp_path / "a", layout=MeshShape(2, 4), **options) == 0
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert run(built, tmp_path / "a", layout=MeshShape(1), **options) == 0
    assert run(built, tmp_path / "b", layout=MeshShape(8), **options) == 0
    one, eight = summary(tmp_path / "a"), summary(tmp_path / "b")
    assert one["step"] == eight["step"] == 6
    assert one["train/loss"] == pytest.approx(eight["train/loss"], rel=1e-5)


@each_script
def test_config_dump_equals_its_golden(script: Path, request: pytest.FixtureRequest) -> None:
    golden = ROOT / "tests" / "golden" / f"{script.stem}.json"
    dump = json.dumps(to_json(load(script).Config()), indent=2) + "\n"
    if request.config.getoption("--update-golden"):
        golden.write_text(dump)
    assert golden.read_text() == dump, "pytest tests/test_contract.py --update-golden writes it"


@each_script
def test_help_explains_every_option(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = load(script)
    with pytest.raises(SystemExit) as stop:
        main(module.build, module.Config(), ["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    names = [name for name in option_names(module.Config()) if ".no-" not in name]
    assert len(names) > 10
    assert all(name in text for name in names)


@each_script
def test_misspelt_option_exits_2_and_names_the_right_one(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    module = load(script)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(module.build, module.Config(), ["--optimizer.learning-rat", "1"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "--optimizer.learning-rate" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@each_script
def test_every_parameter_is_covered_by_a_rule(script: Path) -> None:
    experiment = build(script).experiment
    params = named_leaves(jax.eval_shape(experiment.init, jax.random.key(0)).params)
    rules = experiment.partition
    assert params
    assert not [path for path, leaf in params.items() if spec_of(rules, path, leaf.ndim) is None]
