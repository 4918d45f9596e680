import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import linear
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bigmodel.errors import StorageError
from bigmodel.experiment import Experiment, InputError
from bigmodel.run_directory.changes import changes
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.run_directory.manifest import manifest
from bigmodel.runtime.entry import main
from bigmodel.runtime.settings import Settings
from bigmodel.training.optimizers import Optimizer

SMALL = ["--run.steps=4", "--run.eval-every=2", "--mesh.data=1"]


@dataclass(frozen=True)
class Config(Settings):
    optimizer: Optimizer = Optimizer("adam", learning_rate=0.05)


def build(config: Config) -> Experiment:
    show = {"samples": np.arange(12, dtype=np.uint8).reshape(3, 4), "text": "a sample"}
    return linear.experiment(config.optimizer, show=lambda _: show)


def status(*options: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(build, Config(), [*SMALL, *options])
    return stop.value.code


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_run_directory_is_as_documented() -> None:
    assert status("--run.dir=a") == 0
    names = {path.name.split(".0.")[0] for path in Path("a").iterdir()}
    files = {"config.json", "manifest.json", "metrics.jsonl", "summary.json"}
    assert names == files | {"checkpoints", "figures", "events.out.tfevents"}
    figures = {path.name for path in Path("a/figures").iterdir()}
    assert {"curves.png", "samples-00000004.png", "text-00000002.txt"} <= figures
    manifest = json.loads(Path("a/manifest.json").read_text())
    for name in ("git", "packages", "python", "device_kind", "device_count", "cores", "seed"):
        assert name in manifest
    assert manifest["data_fingerprint"] == "linear"
    assert json.loads(Path("a/config.json").read_text())["optimizer"]["name"] == "adam"
    summary = json.loads(Path("a/summary.json").read_text())
    assert {"step", "seconds", "params_digest", "status", "test/loss"} <= set(summary)


def test_tensorboards_own_reader_sees_scalars_and_figures_once_each() -> None:
    for options in (["--run.dir=a"], ["--run.dir=a"]):
        Path("a/summary.json").unlink(missing_ok=True)
        assert status(*options) == 0
    reader = EventAccumulator("a", size_guidance={"images": 0})
    reader.Reload()
    tags = reader.Tags()
    lines = [json.loads(line) for line in Path("a/metrics.jsonl").read_text().splitlines()]
    assert "samples" in tags["images"]
    assert "text/text_summary" in tags["tensors"]
    for name in ("train/loss", "test/accuracy", "validation/loss"):
        logged = [(line["step"], line[name]) for line in lines if name in line]
        events = [(event.step, event.value) for event in reader.Scalars(name)]
        assert [step for step, _ in events] == [step for step, _ in logged]
        np.testing.assert_allclose([v for _, v in events], [v for _, v in logged], rtol=1e-6)


def test_the_same_command_finds_its_run_and_another_config_another() -> None:
    assert status() == status() == 0
    assert len(list(Path("runs").iterdir())) == 1
    assert status("--seed=1") == 0
    assert len(list(Path("runs").iterdir())) == 2


def test_a_finished_run_is_not_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--run.dir=a") == 0
    before = Path("a/metrics.jsonl").read_bytes()
    assert status("--run.dir=a") == 0
    assert "already completed at step 4" in capsys.readouterr().out
    assert Path("a/metrics.jsonl").read_bytes() == before


def test_what_changed_since_a_run_began_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--run.dir=a") == 0
    assert capsys.readouterr().err == ""
    manifest = json.loads(Path("a/manifest.json").read_text())
    manifest["packages"]["jax"], manifest["code"] = "0.1", "0"
    Path("a/manifest.json").write_text(json.dumps(manifest))
    assert status("--run.dir=a") == 0
    assert "the code and the package jax changed" in capsys.readouterr().err


def test_a_run_directory_inside_the_repository_is_no_change_of_the_code(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "."], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    facts = {"script": tmp_path / "one.py", "seed": 0, "fingerprint": ""}
    (tmp_path / "one.py").write_text("")
    before = manifest(**facts)
    (tmp_path / "metrics.jsonl").write_text("{}")
    assert changes(before, manifest(**facts)) == []
    (tmp_path / "one.py").write_text(" ")
    assert [change.what for change in changes(before, manifest(**facts))] == ["the code"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mesh.fsdp=3"], "does not divide the 8 devices; use 1, 2, 4 or 8"),
        (["--mesh.data=3"], "does not divide the 8 devices; use 1, 2, 4 or 8"),
        (["--optimizer.name=adamm"], "Expected one of"),
        (["--optimizer.learning-rate=-1"], "learning-rate is -1.0"),
        (["--optimizer.learning-rate=nan"], "learning-rate is nan"),
        (["--run.best=test/f1"], "test/f1 is not evaluated"),
        (["--run.stps=1"], "did you mean --run.steps"),
    ],
)
def test_bad_input_is_one_line_status_2_and_nothing_written(options, message, capsys) -> None:
    assert status(*options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not contents(Path("."))


def test_another_config_in_the_directory_is_refused_with_the_fields(capsys) -> None:
    assert status("--run.dir=a") == 0
    before = contents(Path("a"))
    assert status("--run.dir=a", "--optimizer.b1=0.8", "--seed=3") == 2
    error = capsys.readouterr().err
    assert "optimizer.b1 is 0.9 there and 0.8 here" in error
    assert "seed is 0 there and 3 here" in error
    assert contents(Path("a")) == before


def test_other_data_in_the_directory_is_refused(tmp_path: Path) -> None:
    assert linear.run(tmp_path / "a", steps=2) == 0
    one = linear.experiment()
    changed = one._replace(data=one.data._replace(fingerprint="other"))
    with pytest.raises(InputError, match="the data has changed"):
        linear.run(tmp_path / "a", steps=2, one=changed)


def test_a_file_in_the_place_of_the_directory_is_refused(capsys) -> None:
    Path("a").write_text("mine")
    assert status("--run.dir=a") == 2
    assert "a is a file" in capsys.readouterr().err


def test_a_directory_is_locked_before_its_checkpoints_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another start, of a directory that was not there before, may not find it without one."""
    search = Checkpoints.newest_intact

    def meanwhile(self: Checkpoints, newest: int | None = None) -> int | None:
        with pytest.raises(InputError, match="another process is running"):
            linear.run(tmp_path / "a")
        monkeypatch.setattr(Checkpoints, "newest_intact", search)
        return self.newest_intact(newest)

    monkeypatch.setattr(Checkpoints, "newest_intact", meanwhile)
    assert linear.run(tmp_path / "a", steps=2) == 0
    assert Checkpoints.newest_intact is search


def test_a_figure_keeps_its_step_and_one_that_fails_is_a_warning(tmp_path: Path, capsys) -> None:
    def fails() -> np.ndarray:
        raise ValueError("no parse:\n$x")

    shown = {"layer.1": "one", "group/two": np.zeros((2, 2), np.uint8), "broken": fails}
    one = linear.experiment(show=lambda _: shown)
    assert linear.run(tmp_path / "a", one=one, steps=2) == 0
    figures = tmp_path / "a" / "figures"
    assert (figures / "layer.1-00000002.txt").read_text() == "one"
    assert (figures / "group" / "two-00000002.png").exists()
    warning = "warning: the figure broken of step 2 is left out: ValueError: no parse: $x\n"
    assert capsys.readouterr().err == warning
    directory = RunDirectory(tmp_path / "a")
    directory.lock()
    directory.resume(2)
    directory.close()
    reader = EventAccumulator(str(tmp_path / "a"))
    reader.Reload()
    assert "layer.1/text_summary" in reader.Tags()["tensors"]
    assert reader.Tags()["images"] == ["group/two"]


def test_a_full_disk_is_one_line_that_names_the_path_and_the_run_goes_on_later(
    tmp_path: Path,
) -> None:
    """No file may grow beyond a size, which is what a full disk looks like to a writer."""
    script = tmp_path / "small.py"
    script.write_text(
        "import resource, sys\n"
        f"sys.path.insert(0, {str(Path(linear.__file__).parent)!r})\n"
        "import linear\n"
        "from bigmodel.runtime import Settings, main\n"
        "limit = int(sys.argv.pop(1))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "def build(config):\n"
        "    return linear.experiment()\n"
        "main(build, Settings())\n"
    )
    options = ["--run.steps=40", "--run.eval-every=5", "--run.log-every=1"]
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}

    def start(limit: int, directory: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(script), str(limit), f"--run.dir={directory}", *options]
        return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)

    full = start(6000, "a")
    assert full.returncode == 1
    assert full.stderr.startswith("error: cannot write")
    assert f"{os.sep}a{os.sep}" in full.stderr or "a/" in full.stderr
    assert full.stderr.count("\n") == 1
    assert start(10**9, "a").returncode == start(10**9, "whole").returncode == 0
    digests = [
        json.loads(Path(name, "summary.json").read_text())["params_digest"]
        for name in ("a", "whole")
    ]
    assert digests[0] == digests[1]


def test_a_place_that_cannot_be_written_is_one_line_that_names_it(capsys) -> None:
    assert status("--run.dir=/proc/nowhere/a") == 1
    error = capsys.readouterr().err
    assert "cannot write /proc/nowhere/a" in error
    assert error.count("\n") == 1


def test_a_name_that_is_too_long_is_one_line(capsys) -> None:
    assert status("--run.dir=" + "a" * 9000) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: cannot use aaa")
    assert error.endswith("aaa... (9000 characters): File name too long\n")
    assert len(error) < 300


def test_a_run_that_was_started_before_its_first_checkpoint_begins_anew() -> None:
    assert status("--run.dir=whole") == 0
    os.mkdir("a")
    config = json.loads(Path("whole/config.json").read_text())
    Path("a/config.json").write_text(json.dumps({**config, "run": {**config["run"], "dir": "a"}}))
    Path("a/metrics.jsonl").write_text('{"step": 1, "time": 1.0, "seconds": 1.0, "train/lo')
    assert status("--run.dir=a") == 0
    digests = [
        json.loads(Path(d, "summary.json").read_text())["params_digest"] for d in ("a", "whole")
    ]
    assert digests[0] == digests[1]


def test_unreadable_metrics_are_named(tmp_path: Path) -> None:
    assert linear.run(tmp_path / "a", steps=2) == 0
    (tmp_path / "a" / "summary.json").unlink()
    (tmp_path / "a" / "metrics.jsonl").write_text("not json\n")
    with pytest.raises(StorageError, match=r"metrics\.jsonl"):
        linear.run(tmp_path / "a", steps=2)


def test_what_does_not_fit_names_the_command_that_plans_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sysconf", lambda _: 1)
    assert status("--mesh.fsdp=2") == 2
    error = capsys.readouterr().err
    options = " ".join([*SMALL, "--mesh.fsdp=2"])
    assert error.endswith(f"python launch.py plan {__file__} --devices 8 -- {options}\n")
    assert error.count("\n") == 1
    assert not contents(Path("."))


def test_a_run_that_runs_out_of_memory_names_the_command_that_plans_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def exhausted(_: Config) -> Experiment:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes.")

    with pytest.raises(SystemExit, match="1"):
        main(exhausted, Config(), SMALL)
    error = capsys.readouterr().err
    assert error.startswith("error: out of memory: RESOURCE_EXHAUSTED")
    assert "python launch.py plan" in error
    assert error.count("\n") == 1


def test_a_start_that_is_refused_leaves_no_lock_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object) -> None:
        raise StorageError("all checkpoints are damaged")

    monkeypatch.setattr(Checkpoints, "newest_intact", search)
    with pytest.raises(StorageError, match="are damaged"):
        linear.run(tmp_path / "a", steps=2)
    assert not (tmp_path / "a").exists()
