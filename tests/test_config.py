from dataclasses import dataclass

import pytest

from bigmodel.config import from_json, to_json, with_values
from bigmodel.experiment import InputError
from bigmodel.runtime.settings import Run, Settings
from bigmodel.training.transfer.beginning import Init


@dataclass(frozen=True)
class Part:
    learning_rate: float = 0.1
    widths: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Config(Settings):
    optimizer: Part = Part()
    noise: float = 0.5


def test_values_are_those_at_their_paths_and_the_others_stay() -> None:
    changed = with_values(Config(), {"optimizer.learning_rate": 0.2, "noise": 1.0, "run.steps": 7})
    assert changed == Config(optimizer=Part(learning_rate=0.2), noise=1.0, run=Run(steps=7))


def test_several_values_of_one_part_are_checked_together() -> None:
    """A profile of late steps goes with the length that comes with it, not with the default."""
    changed = with_values(Config(), {"run.profile": "2000:2003", "run.steps": 3000})
    assert (changed.run.profile, changed.run.steps) == ("2000:2003", 3000)
    with pytest.raises(InputError, match="the run has 4 steps"):
        with_values(Config(), {"run.steps": 4, "run.profile": "9:11"})


def test_an_option_that_is_a_keyword_of_python_is_written_read_and_changed_by_its_name() -> None:
    changed = with_values(Config(), {"init.from": "runs/a", "init.lora_rank": 2})
    written = to_json(changed)
    assert written["init"]["from"] == "runs/a"
    assert from_json(Config(), written) == changed == Config(init=Init("runs/a", lora_rank=2))
