import json
from dataclasses import dataclass, replace
from pathlib import Path

import linear
import pytest
from recorded import digest, read, summary

from bigmodel.config import to_json
from bigmodel.experiment import Experiment, InputError
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.run_directory.same_run import default_directory
from bigmodel.runtime.entry import main
from bigmodel.runtime.settings import Run, Settings
from bigmodel.sharding.mesh import MeshShape
from bigmodel.training.optimizers import Optimizer


@dataclass(frozen=True)
class Data:
    path: str = ""
    batch_size: int = 16


@dataclass(frozen=True)
class Config(Settings):
    data: Data = Data()
    optimizer: Optimizer = Optimizer("adam", learning_rate=0.05, schedule="constant")
    mesh: MeshShape = MeshShape(1)
    run: Run = Run(steps=20, eval_every=10)


def build(config: Config) -> Experiment:
    one = linear.experiment(config.optimizer)
    return linear.with_data(one, fingerprint=config.data.path[-1:])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def status(*options: str, directory: str = "a") -> int:
    with pytest.raises(SystemExit) as stop:
        main(build, Config(), [f"--run.dir={directory}", *options])
    return stop.value.code


A = Path("a")
FREE = ["--run.keep=5", "--run.log-every=7", "--run.eval-every=4", "--run.checkpoint-every=3"]
FREE += ["--run.patience=9", "--data.path=elsewhere/x"]


def test_what_decides_no_bit_may_change_and_is_recorded(capsys) -> None:
    assert status("--data.path=x") == 0
    metrics = Path("a/metrics.jsonl").read_bytes()
    assert status(*FREE) == 0
    assert "already completed at step 20" in capsys.readouterr().out
    assert Path("a/metrics.jsonl").read_bytes() == metrics
    assert status("--data.path=y") == 2
    assert "the data has changed" in capsys.readouterr().err
    # Half of the run, as if it had been killed there.
    Path("a/summary.json").unlink()
    Path("a/checkpoints/20").rename("a/checkpoints/20.partial")
    assert status(*FREE) == 0
    starts = read(A, "manifest.json")["starts"]
    assert [start["step"] for start in starts] == [0, 10]
    assert [start["options"]["run.keep"] for start in starts] == [2, 5]
    assert [start["options"]["data.path"] for start in starts] == ["x", "elsewhere/x"]
    assert read(A, "config.json")["run"]["eval_every"] == 4
    assert status("--data.path=x", directory="b") == 0
    assert digest(A) == digest(Path("b"))


def test_the_file_of_the_data_that_has_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    for name, content in (
        ("config.json", {}),
        ("manifest.json", {"data_fingerprint": "before"}),
        ("assets/sources.json", {"1.txt": "a", "2.txt": "b"}),
    ):
        (tmp_path / name).write_text(json.dumps(content))
    directory = RunDirectory(tmp_path, writing=False)
    for now, message in (({"1.txt": "a", "2.txt": "c"}, "2.txt is another one"), ({}, "sha256")):
        assets = {"sources.json": json.dumps(now).encode()} if now else {}
        with pytest.raises(InputError, match=message):
            directory.check_same_run({}, "now", assets, total=1)


def test_more_steps_of_a_constant_schedule_go_on_to_the_bits_of_a_longer_run(capsys) -> None:
    assert status() == status("--run.steps=30") == 0
    assert status("--run.steps=30", directory="long") == 0
    assert summary(A)["step"] == 30
    assert digest(A) == digest(Path("long"))
    starts = read(A, "manifest.json")["starts"]
    assert [start["options"]["run.steps"] for start in starts] == [20, 30]
    assert status("--run.steps=10") == 2
    assert "run.steps is 30 there and 10 here, and 30 steps are done" in capsys.readouterr().err


def test_more_steps_of_another_schedule_are_refused_with_the_reason(capsys) -> None:
    assert status("--optimizer.schedule=cosine") == 0
    assert status("--optimizer.schedule=cosine", "--run.steps=30") == 2
    error = capsys.readouterr().err
    assert "on which optimizer.schedule cosine depends" in error
    assert error.count("\n") == 1


def test_more_patience_goes_on_with_a_run_that_stopped_early() -> None:
    one = ["--run.eval-every=2", "--optimizer.learning-rate=30", "--optimizer.name=sgd"]
    assert status(*one, "--run.patience=1") == 0
    assert summary(A)["status"] == "stopped early"
    assert status(*one) == 0
    assert summary(A)["step"] == 20
    assert status(*one, "--run.patience=1") == 0
    assert summary(A)["step"] == 20


def test_the_default_directory_depends_on_the_data_and_not_on_what_is_free() -> None:
    def name(config: Config, fingerprint: str = "d") -> Path:
        return default_directory(to_json(config), Path("cnn.py"), fingerprint)

    one = Config()
    run = replace(one.run, keep=9, log_every=9, eval_every=9, checkpoint_every=9, patience=9)
    same = replace(one, run=replace(run, dir="b", sinks=("wandb",)), data=Data(path="b"))
    assert name(one) == name(same) == name(replace(one, mesh=MeshShape(2)))
    others = [replace(one, seed=1), replace(one, data=Data(batch_size=8))]
    assert len({name(one), name(one, "e"), *map(name, others)}) == 4


def test_a_run_of_a_version_with_other_options_is_refused_by_their_names(capsys) -> None:
    assert status() == 0
    config = read(A, "config.json")
    config["run"]["maximize"] = False
    config["members"] = 3
    del config["run"]["deterministic"]
    Path("a/config.json").write_text(json.dumps(config))
    assert status() == 2
    error = capsys.readouterr().err
    found = "a holds a run of another version of the code: it has members, run.maximize and lacks "
    assert f"{found}run.deterministic; go on with that version" in error
    assert error.count("\n") == 1
