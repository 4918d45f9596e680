import io
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from bigmodel.experiment import InputError
from bigmodel.models import Gpt
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.settings import Run, Settings
from bigmodel.training.transfer.beginning import Init


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


@dataclass(frozen=True)
class Language(Settings):
    model: Gpt = Gpt(dropout=0.1)


LLAMA = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 40,
}  # fmt: skip


def test_the_model_takes_its_options_from_a_folder_and_others_count_beside_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    for arguments in (["--model.from", str(tmp_path)], [f"--model.from={tmp_path}"]):
        beside = ["--model.layers=1", *arguments, "--seed", "3"]
        config = parse(Language(), beside, description="")
        assert (config.seed, config.model.layers, config.model.width) == (3, 1, 16)
        assert (config.model.kv_heads, config.model.expansion) == (2, 2.5)
        assert config.model.activation == "swiglu"
        assert config.model.dropout == 0.1
    options = {"layers": 3, "rotary": {"base": 5.0}}
    (tmp_path / "config.json").write_text(json.dumps({"model": options}))
    of_run = parse(Language(), ["--model.from", str(tmp_path)], description="").model
    assert of_run == replace(Gpt(layers=3, dropout=0.1), rotary=replace(Gpt().rotary, base=5.0))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({**LLAMA, "hidden_size": 0}, "hidden_size in config.json is 0"),
        ({"model": {"widths": [1]}}, "cannot be used for a Gpt: there is no option widths"),
        ({"model": {"layers": "x"}}, "layers cannot be"),
        (None, "no folder with config.json"),
    ],
    ids=str,
)
def test_options_of_another_model_are_refused_in_a_line(
    config: dict, said: str, tmp_path: Path
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=said) as refused:
        parse(Language(), ["--model.from", str(tmp_path)], description="")
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_a_folder_is_asked_for_where_there_is_none() -> None:
    with pytest.raises(InputError, match="Missing value"):
        parse(Language(), ["--model.from"], description="")
    with pytest.raises(InputError, match=r"did you mean --model\.from"):
        parse(Language(), ["--model.fromm", "x"], description="")
    with pytest.raises(InputError, match=r"there is no option --model\.from"):
        parsed("--model.from", "x")


def test_an_option_may_be_a_keyword_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("--init.from", "a", "--init.lora-rank=4").init == Init("a", lora_rank=4)
    assert parsed("--init.from=b").init.from_ == "b"
    with pytest.raises(SystemExit):
        parsed("--help")
    text = capsys.readouterr().out
    assert "--init.from " in text
    assert "from_" not in text
