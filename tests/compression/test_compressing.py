"""Compressed runs: smaller, like any other run, and no further compressed."""

import dataclasses
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import pytest
from rare import rare
from recorded import read, summary
from test_contract import ROOT, build, run

import bigmodel
import launch
from bigmodel.compression.channels import narrowed
from bigmodel.config import to_json
from bigmodel.experiment import Experiment, Variables
from bigmodel.inference.measuring import evaluate, evaluating
from bigmodel.inference.trained import Trained
from bigmodel.quantized import restored
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.evaluation import measure, summarize
from bigmodel.runtime.xla import with_precision
from bigmodel.script import load_script
from bigmodel.training.transfer.beginning import Init
from bigmodel.tree import map_named

EXPERIMENTS = ROOT / "experiments"
FEW = 3.5 / 359
"""Three images of the test split, the most by which eight bits changed the accuracy of such short
runs, right on 50 to 84 % of them, of 16 seeds; docs/compression.md has longer ones."""
SIZES = ("--model.widths", "16", "32", "--model.dense=64", "--model.convolutions=1")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of a convolutional network."""
    path = tmp_path_factory.mktemp("compressed") / "digits"
    assert run(build(EXPERIMENTS / "cnn.py", *SIZES), path, steps=80, eval_every=80) == 0
    return path


def compress(run: Path, out: Path, *options: str) -> int:
    return launch.main(["compress", str(run), "--out", str(out), *options])


@pytest.mark.parametrize(
    ("options", "most"),
    [(["--to", "int8"], 0.27), rare(["--to", "int4", "--keep-float", "head"], 0.19)],
)
def test_a_compressed_run_is_smaller_and_a_run_like_any_other(
    options: list[str], most: float, digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    assert compress(digits, out, *options) == 0
    table = capfd.readouterr().out
    assert [line for line in table.splitlines() if line.startswith("test/accuracy")]
    before, made = bigmodel.load(digits), bigmodel.load(out)
    assert size(made) < most * size(before)
    (line,) = (line for line in table.splitlines() if line.startswith("on disk"))
    assert float(line.split()[-1]) < most + 0.08
    # Nothing of it is written that is not read.
    (step,) = (out / "checkpoints").iterdir()
    assert len([*(step / "d").iterdir()]) == 1
    assert not [*step.glob("ocdbt.process_*")]
    assert read(out, "manifest.json")["compressed"]["from"] == str(digits)
    found = evaluate(made).values
    assert {name: summary(out)[name] for name in found} == pytest.approx(found, rel=1e-5)
    if "int8" in options:
        accuracy = before.summary["test/accuracy"]
        assert found["test/accuracy"] == pytest.approx(accuracy, abs=FEW)
    inputs = list(made.build().data.inputs["test"][:3])
    assert [answer["class"] for answer in made.predict(inputs)]
    # Others begin with it, and it is neither repeated nor compressed again.
    begun = build(EXPERIMENTS / "cnn.py", f"--init.from={out}", *SIZES).experiment.init(
        jax.random.key(0)
    )
    jax.tree.map(np.testing.assert_array_equal, begun.params, restored(made.variables)["params"])
    assert launch.main(["replay", str(out)]) == 2
    assert compress(out, tmp_path / "again", "--to", "int8") == 2
    said = capfd.readouterr().err
    assert f"{out} is compressed already, to {options[1]} from {digits}" in said
    assert f"replay {digits}" in said
    assert not (tmp_path / "again").exists()


def size(run: Trained) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(run.variables["params"]))


def test_layers_read_inputs_of_eight_bits(
    digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert compress(digits, tmp_path / "small", "--to", "int8", "--activations") == 0
    assert "of 4 layers read inputs of eight bits" in capfd.readouterr().err
    made = bigmodel.load(tmp_path / "small")
    ends = made.variables["params"]["blocks_0"]["conv_0"]["kernel"]["inputs"]
    np.testing.assert_allclose(ends, [0, 1], atol=1e-6)  # Those of pixels.
    accuracy = bigmodel.load(digits).summary["test/accuracy"]
    assert summary(tmp_path / "small")["test/accuracy"] > accuracy - FEW
    # The rounding is there, and it is small.
    inputs = made.predictor.encode(list(made.build().data.inputs["test"][:8]))
    rounded, plain = made.apply(inputs), made.predictor.apply(restored(made.variables), inputs)
    assert 0 < np.abs(np.asarray(rounded) - np.asarray(plain)).max() < 0.2


def test_a_network_of_half_the_channels_computes_what_the_others_had_no_part_in(
    digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "half"
    assert compress(digits, out, "--to", "channels", "--keep", "0.5") == 0
    half = bigmodel.load(out)
    assert half.config.model.widths == (8, 16)
    assert half.config.model.dense == (32,)
    # The command that it prints trains this network, on the same data.
    _, script, *words = shlex.split(capfd.readouterr().out.rpartition("train it further: ")[2])
    config = parse(load_script(Path(script)).Config(), words, description="")
    settings = dataclasses.replace(half.config.run, dir="")
    expected = dataclasses.replace(half.config, init=Init(str(out)), run=settings)
    assert to_json(config) == to_json(expected)
    assert_as_with_zeros(bigmodel.load(digits), measured_of(half.build(), half.variables))


@pytest.mark.parametrize(
    "script", [rare(name) for name in ("bert", "gpt", "mlp", "resnet", "tagging", "vit")]
)
def test_other_networks_of_half_the_channels_and_heads_do_too(script: str, tmp_path: Path) -> None:
    assert run(build(EXPERIMENTS / f"{script}.py"), tmp_path, steps=2, eval_every=2) == 0
    trained = bigmodel.load(tmp_path)
    small = narrowed(trained, trained.build(), 0.5)
    assert small.config.model != trained.config.model
    half = trained.script.build(small.config)
    assert_as_with_zeros(trained, measured_of(half, small.variables))


def measured_of(experiment: Experiment, variables: Variables) -> Mapping[str, float]:
    step = jax.jit(with_precision(evaluating(experiment), "highest"))
    splits = measure(step, variables, experiment.data.splits)
    assert splits is not None
    return summarize(experiment, splits).values


def assert_as_with_zeros(run: Trained, found: Mapping[str, float]) -> None:
    """The metrics are those of the larger network with zeros for what was taken away."""
    experiment = run.build()
    entries = narrowed(run, experiment, 0.5).entries

    def zeroed(path: str, leaf: jax.Array) -> np.ndarray:
        left, kept = np.zeros_like(leaf), np.ix_(*entries[path])
        left[kept] = np.asarray(leaf)[kept]
        return left

    expected = measured_of(experiment, map_named(zeroed, run.variables))
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "int8", "--keep-float", "["], "'[' is no regex"),
        (["--to", "int8", "--keep-float", "tail"], "--keep-float tail finds no parameter"),
        (["--to", "int8", "--keep", "0.5"], "--keep says nothing of --to int8"),
        (["--to", "channels", "--keep", "2"], "'2' is no share above 0 and below 1"),
    ],
)
def test_options_that_fit_nothing_are_refused(
    options: list[str], said: str, digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert compress(digits, tmp_path / "out", *options) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_held_out_examples_is_compressed_where_none_are_needed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, none = tmp_path / "run", ("--data.validation=0", "--data.test=0")
    for left, metric in ((none[1:], "validation/accuracy"), (none, "arrays, kB")):
        shutil.rmtree(path, ignore_errors=True)
        assert run(build(EXPERIMENTS / "cnn.py", *left), path, steps=2, eval_every=2) == 0
        capfd.readouterr()
        assert compress(path, tmp_path / f"small-{len(left)}", "--to", "int8") == 0
        assert f"\n{metric}" in capfd.readouterr().out
    before = sorted(tmp_path.iterdir())
    for options in (["--to", "channels"], ["--to", "int8", "--activations"]):
        assert compress(path, tmp_path / "out", *options) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert "has no held-out examples, which --to channels and --activations need" in line
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "options", [["--init.lora-rank=2"], rare(["--optimizer.freeze", "dense_0"])]
)
def test_channels_are_taken_of_a_run_that_was_trained_in_part(
    options: list[str], tmp_path: Path
) -> None:
    script, first, second = EXPERIMENTS / "mlp.py", tmp_path / "first", tmp_path / "second"
    assert run(build(script), first, steps=2, eval_every=2) == 0
    assert run(build(script, f"--init.from={first}", *options), second, steps=2, eval_every=2) == 0
    assert compress(second, tmp_path / "half-1.5", "--to", "channels") == 0
    assert size(bigmodel.load(tmp_path / "half-1.5")) < 0.7 * size(bigmodel.load(second))


def test_a_private_run_stays_private(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "private", tmp_path / "half-1.5"
    # A budget that the accountant is quick with.
    built = build(EXPERIMENTS / "mlp.py", "--privacy.epsilon=1", "--run.steps=6")
    assert run(built, path, steps=2, eval_every=2) == 0
    assert compress(path, tmp_path / "small", "--to", "int8", "--activations") == 2
    assert "leave out --activations" in capfd.readouterr().err
    assert compress(path, out, "--to", "channels") == 0
    assert summary(out)["privacy"] == summary(path)["privacy"]
    said = capfd.readouterr().out
    assert "train it further" not in said
    assert out.name in said.splitlines()[0]
