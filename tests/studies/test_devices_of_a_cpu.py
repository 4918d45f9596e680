"""Runs on a CPU of several cores where nobody says how many devices it is, as whole processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from made_study import ENVIRONMENT, ROOT, ablate, made, read

from bigmodel.sharding.cores import cores

SCRIPT = """
from dataclasses import dataclass
import numpy as np
from bigmodel.data.batches import epochs
from bigmodel.experiment import Data
from bigmodel.models import ConvNet
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, classifier

@dataclass(frozen=True)
class Config(Settings):
    width: int = 32
    optimizer: Optimizer = Optimizer("sgd", learning_rate=0.05, schedule="constant")
    run: Run = Run(steps=3, eval_every=10, log_every=1)

def build(config):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(128, 32, 32, 1)).astype(np.float32)
    arrays = {"image": images, "label": rng.integers(0, 3, 128).astype(np.int32)}
    test = {name: array[:64] for name, array in arrays.items()} | {"weight": np.ones(64, "f")}
    data = Data(epochs(arrays, 64), {"test": [test]}, 64, 2, "noise")
    model = ConvNet(widths=(config.width, config.width), convolutions=(1,)).build(3)
    return classifier(model, data, ("a", "b", "c"), config.optimizer, steps=config.run.steps)

if __name__ == "__main__":
    main(build, Config())
"""
HERE = {name: value for name, value in ENVIRONMENT.items() if "DEVICES" not in name}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cores() < 2, reason="one core is one device"),
]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment whose convolutions are worth two devices, and with --width 2 are not."""
    monkeypatch.setattr("made_study.ENVIRONMENT", HERE)
    path = tmp_path / "convolutions.py"
    path.write_text(SCRIPT)
    return path


def train(script: Path, *words: str, **environment: str) -> Path:
    """Runs the script in the folder ``run`` beside it."""
    run = script.parent / "run"
    words = (str(script), f"--run.dir={run}", *words)
    subprocess.run(
        [sys.executable, *words], env={**HERE, **environment}, check=True, capture_output=True
    )
    return run


def test_each_run_of_a_study_and_a_replay_have_the_devices_and_bits_of_the_run_alone(
    script: Path,
) -> None:
    ablate(script, "--vary", "width=32,2", "--seeds", "1")
    two, one = (result.directory for result in made(script.parent))
    run = train(script)
    assert read(run, "manifest.json")["device_count"] == 2
    assert read(run, "summary.json")["params_digest"] == read(two, "summary.json")["params_digest"]
    assert [read(path, "manifest.json")["device_count"] for path in (two, one)] == [2, 1]
    replay = [sys.executable, str(ROOT / "launch.py"), "replay", str(run)]
    done = subprocess.run(replay, env=HERE, check=True, capture_output=True, text=True)
    assert "  nothing differs, expected: equal bits" in done.stdout.splitlines()
    ablate(script, "--name", "t", "--seeds", "2", "--seeds-by", "vmap")
    together = [*(script.parent / "studies" / "t").rglob("manifest.json")]
    assert [read(path.parent, path.name)["device_count"] for path in together] == [1, 1]


def test_a_run_goes_on_with_the_devices_that_it_began_with(script: Path) -> None:
    train(script, "--run.steps=1", JAX_NUM_CPU_DEVICES="1")
    starts = read(train(script, "--run.steps=2"), "manifest.json")["starts"]
    assert [start["device_count"] for start in starts] == [1, 1]
    starts = read(train(script, "--run.steps=3", "--mesh.data=2"), "manifest.json")["starts"]
    assert [start["device_count"] for start in starts] == [1, 1, 2]
