"""Every script that takes a teacher keeps its contract with one, and needs it for nothing else."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from rare import rare
from recorded import logged, summary
from test_contract import ROOT, SCRIPTS, Built, build, case, load, losses, run, stop_after

import bigmodel
import launch
from bigmodel.experiment import InputError
from bigmodel.inference.measuring import evaluate
from bigmodel.runtime.command_line import option_names
from bigmodel.sharding.mesh import MeshShape

TEACHERS = {"cnn": "resnet"}
"""Of which script the teacher is, where it is not the student's own."""
TAUGHT = [path for path in SCRIPTS if "--teacher.run" in option_names(load(path).Config())]


def script_of(stem: str) -> Path:
    return ROOT / "experiments" / f"{stem}.py"


def train(script: Path, path: Path, *options: str) -> Path:
    """The directory of a short run, which is there already where another test has made it."""
    if not path.exists():
        assert run(build(script, *options), path, steps=2, eval_every=2) == 0
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teachers")


def taught(script: Path, folder: Path, *options: str) -> Built:
    stem = TEACHERS.get(script.stem, script.stem)
    teacher = train(script_of(stem), folder / stem)
    return build(script, f"--teacher.run={teacher}", "--teacher.weight=0.7", *options)


@pytest.mark.parametrize("script", [case(path, matrix=path.stem != "mlp") for path in TAUGHT])
def test_a_student_resumes_with_the_bits_of_an_undisturbed_run(
    script: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = taught(script, folder)
    options: dict[str, Any] = {"steps": 6, "eval_every": 3, "log_every": 2}
    assert run(built, tmp_path / "whole", **options) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert run(built, tmp_path / "cut", **options) == 0
    assert run(built, tmp_path / "cut", **options) == 0
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert whole["params_digest"] == cut["params_digest"]
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")


@pytest.mark.parametrize(
    ("script", "layout"),
    [
        case(path, mesh, name=f"fsdp{mesh.fsdp}-", matrix=(path.stem, mesh.fsdp) != ("mlp", 4))
        for path in TAUGHT
        for mesh in (MeshShape(2, 4), MeshShape(8))
    ],
)
def test_losses_of_a_student_do_not_depend_on_the_mesh(
    script: Path, layout: MeshShape, folder: Path
) -> None:
    built = taught(script, folder)
    alone, spread = (losses(built, each, 8)[0] for each in (MeshShape(1), layout))
    assert spread == pytest.approx(alone, rel=1e-5)


def test_a_trained_student_is_asked_and_evaluated_without_its_teacher(
    folder: Path, tmp_path: Path
) -> None:
    script, smaller = script_of("mlp"), ("--model.widths", "8")
    teacher = shutil.copytree(train(script, folder / "mlp"), tmp_path / "teacher")
    student = train(script, tmp_path / "student", *smaller, f"--teacher.run={teacher}")
    shutil.rmtree(teacher)
    one = bigmodel.load(student)
    found = evaluate(one).values
    assert found == pytest.approx({n: v for n, v in one.summary.items() if n in found}, rel=1e-4)
    row = build(script).experiment.data.inputs["test"][0]
    assert len(one.predict([row])[0]["probabilities"]) == 10


def test_another_teacher_is_another_run_and_a_moved_one_is_the_same(
    folder: Path, tmp_path: Path
) -> None:
    script = script_of("mlp")
    first = train(script, folder / "mlp")
    moved = shutil.copytree(first, tmp_path / "moved")
    other = train(script, folder / "other", "--seed=1")
    plain, *rest = (
        build(script, *([f"--teacher.run={path}"] if path else [])).experiment.data.fingerprint
        for path in (None, first, moved, other)
    )
    assert rest[0] == rest[1]
    assert len({plain, *rest}) == 3


@pytest.mark.parametrize(
    ("stem", "options", "script", "message"),
    [
        ("mlp", ("--data.name=diabetes",), "mlp", "is neither a classifier nor a language model"),
        ("mlp", (), "cnn", "was trained on other inputs, for its images.json differs"),
        (None, (), "cnn", "--teacher.run: there is no run directory"),
        rare("bert", ("--data.context=32",), "gpt", "tells something else apart"),
        rare(
            "gpt",
            ("--model.positions=learned", "--data.context=12", "--sampling.tokens=2"),
            "gpt",
            "cannot read what this learns from: a text of 32 tokens is longer than the 12 learned",
        ),
    ],
)
def test_what_cannot_teach_is_refused(
    stem: str | None, options: Any, script: str, message: str, folder: Path
) -> None:
    path = folder / "nowhere"
    if stem:
        path = train(script_of(stem), folder / "".join([stem, *options]), *options)
    with pytest.raises(InputError, match=message):
        build(script_of(script), f"--teacher.run={path}")


@pytest.mark.parametrize(
    ("script", "option"), [("mlp", "--data.name=diabetes"), ("rnn", "--data.name=sunspots")]
)
def test_numbers_have_no_teacher(script: str, option: str) -> None:
    with pytest.raises(InputError, match=r"--teacher.run teaches classes, and .* is a number"):
        build(script_of(script), option, "--teacher.run=runs/a")


@pytest.mark.matrix
def test_a_student_is_replayed_with_equal_bits(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    built = taught(script_of("mlp"), folder, "--run.steps=4", "--run.eval-every=2")
    assert run(built, tmp_path / "run") == 0
    assert launch.main(["replay", str(tmp_path / "run")]) == 0
    assert capfd.readouterr().out.splitlines()[-1].startswith("equal: params_digest")
