import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from recorded import read

from bigmodel.data.split import Folds
from bigmodel.experiment import InputError
from bigmodel.runtime.cross_validation import cross_validate, has_folds
from bigmodel.runtime.settings import Settings


@dataclass(frozen=True)
class Config(Settings):
    data: Folds = Folds()


class Runs:
    """Stands for the loop: the accuracy of a fold is its number; it can be stopped at one."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.done: list[int] = []

    def __call__(self, config: Config) -> int:
        if config.data.fold == self.stop_at:
            return 130
        self.done.append(config.data.fold)
        summary = {"status": "completed", "train/loss": 1.0, "test/accuracy": float(self.done[-1])}
        directory = Path(config.run.dir)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "summary.json").write_text(json.dumps(summary))
        return 0


def test_folds_are_all_run_unless_one_is_named() -> None:
    assert has_folds(Config(data=Folds(folds=3)))
    for without in (Config(), Config(data=Folds(folds=3, fold=0)), Settings()):
        assert not has_folds(without)


def test_each_fold_is_run_and_the_spread_reported(tmp_path: Path) -> None:
    runs = Runs()
    assert cross_validate(Config(data=Folds(folds=4)), tmp_path, runs) == 0
    assert runs.done == [0, 1, 2, 3]
    values = [0.0, 1.0, 2.0, 3.0]
    mean, std = pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1))
    accuracy = {"mean": mean, "std": std, "values": values}
    expected = {"folds": 4, "metrics": {"test/accuracy": accuracy}}
    assert read(tmp_path, "folds.json") == expected


def test_a_stopped_fold_stops_all_and_its_status_is_theirs(tmp_path: Path) -> None:
    runs = Runs(stop_at=2)
    assert cross_validate(Config(data=Folds(folds=4)), tmp_path, runs) == 130
    assert runs.done == [0, 1]
    assert not (tmp_path / "folds.json").exists()


def test_a_single_fold_is_refused_before_anything_is_said(tmp_path: Path) -> None:
    runs = Runs()
    with pytest.raises(InputError, match="2 or more"):
        cross_validate(Config(data=Folds(folds=1)), tmp_path, runs)
    assert not runs.done
