"""A run of a small script in a repository of its own, replayed as it is and after changes."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from written import write_run

import bigmodel
import launch
from bigmodel.experiment import InputError
from bigmodel.studies.replaying.code import checkout, without_binary
from bigmodel.studies.runs import read_finished

TESTS = Path(__file__).parent.parent
RATE = "rate: float = 0.05"
SCRIPT = f'''"""Softmax regression on a file of numbers."""
import sys
from dataclasses import dataclass

import numpy as np

sys.path.append({str(TESTS)!r})
import linear
from bigmodel.data.batches import epochs, in_order
from bigmodel.data.parts import fingerprint
from bigmodel.experiment import Data, InputError
from bigmodel.runtime import Run, Settings, main
from bigmodel.training.optimizers import Optimizer


@dataclass(frozen=True)
class Config(Settings):
    path: str = "images.npy"
    {RATE}
    run: Run = Run(steps=12, eval_every=6, log_every=4)


def build(config):
    try:
        arrays = linear.arrays(128, 0) | {{"image": np.load(config.path)}}
    except FileNotFoundError:
        raise InputError(f"--path: there is no file {{config.path}}") from None
    splits = {{"test": in_order(arrays, 16)}}
    data = Data(epochs(arrays, 16), splits, 16, 8, fingerprint(arrays))
    return linear.experiment(Optimizer("adam", learning_rate=config.rate), data=data)


if __name__ == "__main__":
    main(build, Config())
'''
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null")
pytestmark = pytest.mark.xdist_group("replay")


class Place(NamedTuple):
    """A repository with a script and bigmodel, and a run of it."""

    repository: Path
    script: Path
    run: Path


def git(folder: Path, *arguments: str) -> str:
    command = [*GIT, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The run is of the commit with a change that was not committed, on two devices."""
    repository = tmp_path_factory.mktemp("repository").resolve()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(bigmodel.__file__).parent, repository / "bigmodel", ignore=ignored)
    script = repository / "small.py"
    script.write_text(SCRIPT.replace(RATE, "rate: float = 0.5"))
    git(repository, "init", "-q", ".")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "one")
    script.write_text(SCRIPT)
    np.save(repository / "images.npy", np.random.default_rng(0).normal(size=(128, 8)).astype("f4"))
    run = repository / "run"
    subprocess.run(
        [sys.executable, str(script), f"--run.dir={run}", "--rate=0.06", "--mesh.fsdp=2"],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository), "JAX_NUM_CPU_DEVICES": "2"},
        check=True,
        capture_output=True,
    )
    # As of a run that was logged elsewhere too, which its replay is not.
    config = json.loads((run / "config.json").read_text())
    config["run"]["sinks"] = ["mlflow"]
    (run / "config.json").write_text(json.dumps(config))
    return Place(repository, script, run)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories of this test are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_replay_gives_the_same_bits_and_leaves_the_run_alone(
    place: Place, scratch: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = digests(place.repository)
    assert launch.main(["replay", str(place.run)]) == 0
    output = capfd.readouterr().out
    assert "nothing differs, expected: equal bits" in output
    digest = json.loads((place.run / "summary.json").read_text())["params_digest"]
    assert output.splitlines()[-1].startswith(f"equal: params_digest {digest}; ")
    assert digests(place.repository) == before
    assert list(scratch.iterdir()) == []


def test_a_character_of_the_code_a_package_and_a_byte_of_data_are_named_beforehand(
    place: Place, scratch: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(place.run, scratch / "run")
    manifest = json.loads((run / "manifest.json").read_text())
    # What the script and the data were: the present ones are another character and byte.
    other = place.script.with_name("other.py")
    other.write_text(SCRIPT.replace("of numbers", "of number"))
    data = np.load(place.repository / "images.npy")
    data.view(np.uint8)[5, 2] ^= 32
    np.save(place.repository / "other.npy", data)
    config = json.loads((run / "config.json").read_text()) | {"path": "other.npy"}
    manifest["packages"]["numpy"] = "1.0"
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "config.json").write_text(json.dumps(config))
    arguments = ["replay", str(run), "--script", str(other), "--keep", str(scratch / "kept")]
    assert launch.main(arguments) == 1
    lines = capfd.readouterr().out.splitlines()
    code = next(line for line in lines if line.startswith("  the code: commit"))
    assert code.endswith("here: another run")
    package = f"  the package numpy: 1.0 there, {np.__version__} here: agreement to rounding"
    assert any(line.startswith(package) for line in lines)
    assert any(line.startswith("  the data: sha256") for line in lines)
    assert "  expected: another run" in lines
    assert lines.index("  expected: another run") < lines.index(
        next(line for line in lines if line.startswith("step 1/"))
    )
    verdict = lines[lines.index("different:") :]
    assert verdict[1].startswith("  first at step ")
    assert "params_digest is" in verdict[-1]
    assert json.loads((scratch / "kept" / "summary.json").read_text())["step"] == 12
    other.unlink()
    (place.repository / "other.npy").unlink()


def test_checkout_runs_the_recorded_commit_with_its_recorded_changes(
    place: Place, scratch: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    split = place.repository / "bigmodel" / "data" / "batches.py"
    text = split.read_text()
    split.write_text("raise RuntimeError('the code of today')\n")
    place.script.write_text("raise RuntimeError('the script of today')\n")
    git(place.repository, "commit", "-qam", "two")
    try:
        assert launch.main(["replay", str(place.run), "--checkout"]) == 0
    finally:
        git(place.repository, "reset", "-q", "--hard", "HEAD~1")
        place.script.write_text(SCRIPT)
    assert split.read_text() == text
    output = capfd.readouterr().out
    assert "nothing differs, expected: equal bits" in output
    assert output.splitlines()[-1].startswith("equal: params_digest")
    assert list(scratch.iterdir()) == []
    assert git(place.repository, "worktree", "list").count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_leaves_no_working_tree_and_no_directory(place: Place, scratch: Path) -> None:
    run = shutil.copytree(place.run, scratch / "run")
    config = json.loads((run / "config.json").read_text())
    config["run"]["steps"] = 10**6
    (run / "config.json").write_text(json.dumps(config))
    (scratch / "temporary").mkdir()
    root = Path(launch.__file__).parent
    command = [sys.executable, str(root / "launch.py"), "replay", str(run), "--checkout"]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(scratch / "temporary")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 4/"):
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 130
    assert list((scratch / "temporary").iterdir()) == []
    assert git(place.repository, "worktree", "list").count("\n") == 1


@pytest.mark.parametrize(
    ("git_of_run", "said"),
    [
        (None, "in no git repository"),
        ({"commit": "0" * 40, "diff": "", "untracked": ""}, "git worktree fails"),
        ({"diff": "", "untracked": "other.py\nsmall.py"}, "small.py was not followed by git"),
        ({"diff": "diff --git a/x b/x\n+nonsense\n", "untracked": ""}, "git apply fails"),
    ],
)
def test_code_that_cannot_be_had_is_one_line(
    place: Place, scratch: Path, git_of_run: dict | None, said: str
) -> None:
    recorded = read_finished(place.run)
    found = None if git_of_run is None else recorded.manifest["git"] | git_of_run
    recorded = recorded._replace(manifest={**recorded.manifest, "git": found})
    with pytest.raises(InputError, match=said), checkout(recorded, scratch):
        pass
    assert list(scratch.iterdir()) == []
    assert git(place.repository, "worktree", "list").count("\n") == 1


def test_changes_of_binary_files_are_left_out_of_a_diff_and_named() -> None:
    text = "diff --git a/one.py b/one.py\n--- a/one.py\n+++ b/one.py\n@@ -1 +1 @@\n-a\n+b\n"
    binary = (
        "diff --git a/c d.png b/c d.png\nindex 1..2\nBinary files a/c d.png and b/c d.png differ\n"
    )
    assert without_binary(binary + text) == (text, ["c d.png"])


def test_data_that_is_gone_is_one_line_and_status_2(place: Place, scratch: Path, refused) -> None:
    data = place.repository / "images.npy"
    data.rename(data.with_name("away"))
    try:
        said = refused("replay", str(place.run), "--keep", str(scratch / "kept"))
    finally:
        data.with_name("away").rename(data)
    assert said == "error: --path: there is no file images.npy\n"
    assert list(scratch.iterdir()) == []


def test_other_devices_than_the_run_had_are_one_line_and_status_2(
    here: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    script = here / "one.py"
    script.write_text("")
    of_run = {"script": str(script), "device_kind": "NVIDIA H100", "device_count": 4}
    run = write_run(here / "run", manifest=of_run)
    now = json.loads((run / "manifest.json").read_text()) | {"device_count": 1}

    def probe(command: list[str], **_: object) -> subprocess.CompletedProcess:
        Path(command[-1]).write_text(json.dumps({"manifest": now, "added": {}}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("bigmodel.studies.replaying.repeat.subprocess.run", probe)
    said = "error: it had 4 devices (NVIDIA H100), and here are 1 (NVIDIA H100)\n"
    assert refused("replay", "run") == said


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("lacking", "written", "said"),
    [
        ("", {}, "its script /code/experiments/cnn.py is not there"),
        ("config.json", {}, "it has no config.json"),
        ("config.json", {"fold-0/config.json": "{}"}, "name one of them, as run/fold-0"),
        ("manifest.json", {}, "it has no manifest.json"),
        ("summary.json", {}, "run has not ended"),
        ("", {"summary.json": "{"}, "cannot read run/summary.json"),
        ("", {"failed.json": '{"reason": "no memory"}'}, "no memory"),
    ],
)
def test_what_cannot_be_replayed_is_one_line_and_status_2(
    lacking: str, written: dict[str, str], said: str, refused: Callable[..., str]
) -> None:
    run = write_run(Path("run"))
    if lacking:
        (run / lacking).unlink()
    for name, text in written.items():
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(text)
    assert said in refused("replay", "run")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "name the directory of a run"),
        ("run --study x", "name the directory of a run"),
        ("nowhere", "there is no run directory nowhere"),
        ("run --keep run", "--keep run already exists"),
        ("run -- --seed 1", "leave out --seed 1"),
        ("--study x", "there is no folder x"),
        ("--study x --sample 0", "--sample is 0"),
        ("run --script nowhere.py", "its script nowhere.py is not there"),
    ],
)
def test_wrong_options_are_one_line_and_status_2(arguments: str, said: str, refused) -> None:
    write_run(Path("run"))
    assert said in refused("replay", *arguments.split())
