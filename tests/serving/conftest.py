"""Runs of a few steps, each behind a server; its packages are imported where they are used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bigmodel
from bigmodel.inference.trained import Trained
from bigmodel.script import load_script

if TYPE_CHECKING:
    from served import Served

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trained]:
    """Trains a script for a few steps, once."""
    runs: dict[tuple[str, ...], Trained] = {}

    def train(stem: str, *options: str) -> Trained:
        if (stem, *options) not in runs:
            script = ROOT / "experiments" / f"{stem}.py"
            path = tmp_path_factory.mktemp(stem) / "run"
            steps = ("--run.steps=30", "--run.eval-every=30", f"--run.dir={path}")
            command = [sys.executable, str(script), *load_script(script).TINY, *options, *steps]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            runs[stem, *options] = bigmodel.load(path)
        return runs[stem, *options]

    return train


@pytest.fixture(scope="session")
def images(trained: Callable[..., Trained]) -> Iterator[Served]:
    """Digits, in batches of 8."""
    yield from _served(trained("cnn"))


@pytest.fixture(scope="session")
def rows(trained: Callable[..., Trained]) -> Iterator[Served]:
    """A table with numbers and categories."""
    yield from _served(trained("mlp", "--data.name=titanic"))


def _served(run: Trained) -> Iterator[Served]:
    from served import serving

    from bigmodel.serving.application import Limits

    with serving(run, Limits(batch_size=8)) as served:
        yield served
