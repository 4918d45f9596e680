import io
import re
from dataclasses import dataclass
from typing import Literal

import pytest

from bigmodel.experiment import InputError
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.settings import Run, Settings


@dataclass(frozen=True)
class Part:
    name: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    widths: tuple[int, ...] = (1, 2)
    norm: bool = False
    scan: bool | None = None

    def __post_init__(self) -> None:
        if self.learning_rate < 0:
            raise InputError(f"learning-rate is {self.learning_rate}; it must be at least 0")


@dataclass(frozen=True)
class Config(Settings):
    optimizer: Part = Part()
    run: Run = Run(steps=7)


def parsed(*arguments: str) -> Config:
    return parse(Config(), arguments, description="what")


def test_options_replace_defaults_and_nothing_else() -> None:
    config = parsed("--optimizer.learning-rate", "0.5", "--optimizer.widths", "3", "4", "--seed=2")
    assert config == Config(seed=2, optimizer=Part(learning_rate=0.5, widths=(3, 4)))
    assert parsed() == Config()
    assert parsed("--optimizer.norm").optimizer.norm
    optional = ["--optimizer.scan", "--optimizer.no-scan", "--optimizer.scan=True", "--seed=1"]
    assert [parsed(one).optimizer.scan for one in optional] == [True, False, True, None]
    assert parsed("--optimizer.scan", "False", "--optimizer.norm").optimizer == Part(
        norm=True, scan=False
    )
    assert parsed("--optimizer.learning_rate", "0.5") == parsed("--optimizer.learning-rate=0.5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimizer.nam", "sgd"], "did you mean --optimizer.name?"),
        (["--run.step=3"], "did you mean --run.steps?"),
        (["--learning-rate", "1"], "did you mean --optimizer.learning-rate?"),
        (["--optimizer.name", "sgdd"], "Expected one of ('adam', 'sgd')"),
        (["--optimizer.learning-rate", "fast"], "could not convert string to float: 'fast'"),
        (["--optimizer.learning-rate", "-1"], "--optimizer.learning-rate is -1.0; it must"),
        (["--run.steps", "0"], "--run.steps is 0; it must be positive"),
        (["--seed", "-1"], "--seed is -1"),
        (["--seed"], "Missing value for argument '--seed'"),
        (["extra"], "extra"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_wrong_option_is_one_line_that_helps(
    arguments: list[str], message: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with pytest.raises(InputError) as refused:
        parsed(*arguments)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not re.search("[│╭╰─]|---|Value error|For full help", str(refused.value))
