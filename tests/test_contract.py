"""Every file of ``experiments/`` keeps the contract; a new one is found by being there.

A script may have ``TINY``: the options that make a run of seconds.
"""

import dataclasses
import functools
import json
import re
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
from recorded import logged, summary

from bigmodel.config import to_json
from bigmodel.experiment import Experiment
from bigmodel.inference.measuring import evaluate
from bigmodel.inference.trained import Trained
from bigmodel.processes.signals import StopRequest
from bigmodel.runtime.calls import RetraceError
from bigmodel.runtime.command_line import option_names, parse
from bigmodel.runtime.compilation import Compiled, compile_experiment
from bigmodel.runtime.entry import main, run_experiment
from bigmodel.runtime.loop import init_key, step_key
from bigmodel.runtime.recorder import RunRecorder
from bigmodel.runtime.settings import Settings
from bigmodel.runtime.xla import use_precision
from bigmodel.script import load_script
from bigmodel.sharding.mesh import MeshShape, make_mesh

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path for path in (ROOT / "experiments").glob("*.py") if path.stem != "__init__")
# The first of each kind of training step; the whole matrix of all scripts is marked so.
KINDS = ("cnn", "gpt", "gan")
MESHES = [MeshShape(*shape) for shape in ((2, 4), (2, 1), (1, 4), (8, 1), (4, 1), (1, 2), (1, 8))]
# Outside the matrix, scripts of which each has layers of its own; and one without sharding.
SPREAD = {("cnn", MESHES[1]), *((stem, MESHES[0]) for stem in (*KINDS, "transformer"))}


def case(path: Path, *others: Any, name: str = "", matrix: bool) -> Any:
    """Those of one script run in one process, which compiles it once."""
    marks = [pytest.mark.xdist_group(path.stem), *([pytest.mark.matrix] if matrix else [])]
    return pytest.param(path, *others, id=f"{name}{path.stem}", marks=marks)


def scripts(kept: Sequence[str] | None = None) -> Any:
    """A case for each script; those that are not among the kept ones are left to the matrix."""
    cases = [case(path, matrix=kept is not None and path.stem not in kept) for path in SCRIPTS]
    return pytest.mark.parametrize("script", cases)


each_script = scripts()


class Built(NamedTuple):
    module: ModuleType
    config: Settings
    experiment: Experiment


load = functools.cache(load_script)


@functools.cache
def build(script: Path, *options: str) -> Built:
    module = load(script)
    # Where its annotations are looked up; another test may have loaded it too.
    sys.modules[module.__name__] = module
    options = (*getattr(module, "TINY", ()), *options)
    config = parse(module.Config(), options, description="")
    return Built(module, config, module.build(config))


def losses(built: Built, layout: MeshShape, steps: int) -> tuple[list[float], Any]:
    """The losses of the first steps on a mesh, and the state after them."""
    compiled = compile_experiment(built.experiment, make_mesh(layout))
    return go_on(built, compiled, compiled.init(init_key(built.config.seed)), steps=steps)


def go_on(
    built: Built, compiled: Compiled, state: Any, *, start: int = 0, steps: int
) -> tuple[list[float], Any]:
    """The losses of some steps, and the state after them."""
    key = compiled.place_scalar(step_key(built.config.seed))
    index = compiled.place_scalar(np.int32(start))
    found = []
    for step in range(start, start + steps):
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
    """What is disturbed makes several steps in a call, which changes no bit either."""
    built = build(script)
    options: dict[str, Any] = {"steps": 9, "eval_every": 4, "log_every": 2}
    assert run(built, tmp_path / "whole", **options, steps_per_call=1) == 0
    options["steps_per_call"] = 2
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        assert run(built, tmp_path / "cut", **options) == 0
    assert not (tmp_path / "cut" / "summary.json").exists()
    assert run(built, tmp_path / "cut", **options) == 0
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert whole["params_digest"] == cut["params_digest"]
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")
    assert [line["step"] for line in logged(tmp_path / "cut")] == [1, 2, 4, 4, 6, 8, 8, 9, 9]


NARROW = ("--optimizer.parameter-dtype=bfloat16", "--optimizer.moment-dtype=bfloat16")
NARROW += ("--optimizer.skip-nonfinite=2", "--run.matmul-precision=highest")


@scripts(["mlp"])
def test_parameters_in_bfloat16_learn_resume_and_are_evaluated_from_their_checkpoint(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(script, *NARROW)
    found, state = losses(built, MeshShape(1), 60)
    assert np.mean(found[-5:]) < 0.98 * np.mean(found[:5])
    # A discriminator's optimizer has options of its own.
    params = state.params.get("generator", state.params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"bfloat16"}
    options = {"steps": 6, "eval_every": 3}
    assert run(built, tmp_path / "whole", **options) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert run(built, tmp_path / "cut", **options) == 0
    assert run(built, tmp_path / "cut", **options) == 0
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert whole["params_digest"] == cut["params_digest"]
    assert jax.config.jax_default_matmul_precision == "highest"
    use_precision("default")
    found = evaluate(Trained(tmp_path / "cut", "last")).values
    assert {name: whole[name] for name in found} == pytest.approx(found, rel=1e-4)


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


@pytest.mark.parametrize(
    ("script", "layout"),
    [
        case(
            path,
            mesh,
            name=f"data{mesh.data}-fsdp{mesh.fsdp}-",
            matrix=(path.stem, mesh) not in SPREAD,
        )
        for path in SCRIPTS
        for mesh in MESHES
    ],
)
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
    comments = re.findall(r"^ *# (.{1,20})", script.read_text(), re.MULTILINE)
    assert not [comment for comment in comments if comment in text]
