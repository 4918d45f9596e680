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
from recorded import digest, lines, read
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

A = Path("a")
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


@pytest.mark.usefixtures("drawing")
def test_the_run_directory_is_as_documented() -> None:
    assert status("--run.dir=a") == 0
    names = {path.name.split(".0.")[0] for path in A.iterdir()}
    files = {"config.json", "manifest.json", "metrics.jsonl", "summary.json"}
    assert names == files | {"assets", "checkpoints", "figures", "events.out.tfevents"}
    figures = {path.name for path in Path("a/figures").iterdir()}
    assert {"curves.png", "samples-00000004.png", "text-00000002.txt"} <= figures
    manifest = read(A, "manifest.json")
    for name in ("git", "packages", "python", "device_kind", "device_count", "cores", "seed"):
        assert name in manifest
    assert manifest["data_fingerprint"] == "linear"
    assert read(A, "config.json")["optimizer"]["name"] == "adam"
    summary = read(A, "summary.json")
    assert {"step", "seconds", "params_digest", "status", "test/loss"} <= set(summary)


def test_tensorboards_own_reader_sees_scalars_and_figures_once_each() -> None:
    for _ in range(2):
        Path("a/summary.json").unlink(missing_ok=True)
        assert status("--run.dir=a") == 0
    reader = EventAccumulator("a", size_guidance={"images": 0})
    reader.Reload()
    tags = reader.Tags()
    assert "samples" in tags["images"]
    assert "text/text_summary" in tags["tensors"]
    for name in ("train/loss", "test/accuracy", "validation/loss"):
        events = reader.Scalars(name)
        assert [event.step for event in events] == [*lines(A, name)]
        values = [*lines(A, name).values()]
        np.testing.assert_allclose([event.value for event in events], values, rtol=1e-6)


def test_the_same_command_finds_its_run_and_another_config_another() -> None:
    assert status() == status() == 0
    assert len(list(Path("runs").iterdir())) == 1
    assert status("--seed=1") == 0
    assert len(list(Path("runs").iterdir())) == 2


def test_what_changed_since_a_run_began_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--run.dir=a") == 0
    assert capsys.readouterr().err == ""
    manifest = read(A, "manifest.json")
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


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mesh.fsdp=3"], "does not divide the 8 devices; use 1, 2, 4 or 8"),
        (["--mesh.data=3"], "does not divide the 8 devices; use 1, 2, 4 or 8"),
        (["--optimizer.name=adamm"], "Expected one of"),
        (["--optimizer.learning-rate=-1"], "learning-rate is -1.0"),
        (["--optimizer.learning-rate=nan"], "learning-rate is nan"),
        (["--run.best=test/f1"], "test/f1 is not evaluated; there are validation/"),
        (["--run.stps=1"], "did you mean --run.steps"),
    ],
)
def test_bad_input_is_one_line_status_2_and_nothing_written(options, message, capsys) -> None:
    assert status(*options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not contents()


def test_another_config_in_the_directory_is_refused_with_the_fields(capsys) -> None:
    assert status("--run.dir=a") == 0
    before = contents()
    assert status("--run.dir=a", "--optimizer.b1=0.8", "--seed=3") == 2
    error = capsys.readouterr().err
    assert "optimizer.b1 is 0.9 there and 0.8 here" in error
    assert "seed is 0 there and 3 here" in error
    assert contents() == before


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


@pytest.mark.usefixtures("drawing")
def test_a_figure_keeps_its_step_and_one_that_fails_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> np.ndarray:
        raise ValueError("no parse:\n$x")

    shown = {
        "broken": fails,
        "no picture": lambda: np.zeros((2, 2, 7)),
        "layer.1": "caf\udce9",
        "group/two": lambda: np.zeros((2, 2), np.uint8),
    }
    monkeypatch.setattr("bigmodel.runtime.recorder.draw_curves", fails)
    one = linear.experiment(show=lambda _: shown)
    assert linear.run(tmp_path / "a", one=one, steps=2) == 0
    assert read(tmp_path / "a", "summary.json")["step"] == 2
    figures = tmp_path / "a" / "figures"
    written = {str(path.relative_to(figures)) for path in figures.rglob("*.*")}
    assert written == {"layer.1-00000002.txt", "group/two-00000002.png"}
    assert (figures / "layer.1-00000002.txt").read_text() == "caf?"
    first, second, last = capsys.readouterr().err.splitlines()
    warning = "warning: the figure {} of step 2 is left out: "
    assert first == f"{warning.format('broken')}ValueError: no parse: $x"
    assert second.startswith(warning.format("no picture"))
    assert last.startswith(warning.format("curves"))
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
    assert digest(A) == digest(Path("whole"))


@pytest.mark.parametrize(
    ("directory", "expected", "message"),
    [
        ("file", 2, "--run.dir file is a file; choose a directory"),
        ("gr\udcc3\udcb6", 2, "has letters that this locale lacks"),
        ("/proc/nowhere/a", 1, "cannot write /proc/nowhere/a: "),
        ("a" * 9000, 1, f"cannot use {'a' * 80}... (9000 characters): File name too long"),
    ],
    ids=["a file", "letters", "no place", "too long"],
)
def test_a_directory_that_cannot_be_is_one_line(
    directory: str, expected: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("mine")
    assert status(f"--run.dir={directory}") == expected
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error) < 300
    assert error.count("\n") == 1


def test_a_run_that_was_started_before_its_first_checkpoint_begins_anew() -> None:
    assert status("--run.dir=whole") == 0
    os.mkdir("a")
    config = read(Path("whole"), "config.json")
    Path("a/config.json").write_text(json.dumps({**config, "run": {**config["run"], "dir": "a"}}))
    Path("a/metrics.jsonl").write_text('{"step": 1, "time": 1.0, "seconds": 1.0, "train/lo')
    assert status("--run.dir=a") == 0
    assert digest(A) == digest(Path("whole"))


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
    assert not contents()


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes."),
        MemoryError("Unable to allocate 7 bytes"),
    ],
)
def test_a_run_that_runs_out_of_memory_names_the_command_that_plans_it(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(_: Config) -> Experiment:
        raise error

    with pytest.raises(SystemExit, match="1"):
        main(exhausted, Config(), SMALL)
    said = capsys.readouterr().err
    assert said.startswith(f"error: out of memory: {error}")
    assert "python launch.py plan" in said
    assert said.count("\n") == 1


def test_a_start_that_is_refused_leaves_no_lock_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object) -> None:
        raise StorageError("all checkpoints are damaged")

    monkeypatch.setattr(Checkpoints, "newest_intact", search)
    with pytest.raises(StorageError, match="are damaged"):
        linear.run(tmp_path / "a", steps=2)
    assert not (tmp_path / "a").exists()


def test_options_that_the_step_alone_refuses_leave_no_folder(
    capsys: pytest.CaptureFixture,
) -> None:
    def refuses(config: Config) -> Experiment:
        def step(*_: object) -> None:
            raise InputError("--model.parts 8 does not divide the batch of 4")

        return build(config)._replace(train_step=step)

    with pytest.raises(SystemExit, match="2"):
        main(refuses, Config(), [*SMALL, "--run.dir=a"])
    assert capsys.readouterr().err == "error: --model.parts 8 does not divide the batch of 4\n"
    assert not A.exists()
