import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from bigmodel.config import ConfigError, from_json
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.entry import to_json
from bigmodel.script import load_script
from bigmodel.studies.replaying.rebuild import lacking

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted(path for path in (ROOT / "experiments").glob("*.py") if path.stem != "__init__")


@dataclass(frozen=True)
class Part:
    kind: Literal["a", "b"] | None = "a"
    widths: tuple[int, ...] | None = (1, 2)
    pair: tuple[int, str] = (1, "x")
    rate: float = 0.1


@dataclass(frozen=True)
class Whole:
    part: Part = Part()
    names: tuple[str, ...] = ("x",)
    text: str = "t"
    on: bool = True
    limit: float | None = None


ODD = [
    Whole(Part(None, (), (-3, "--run.steps"), 1e-300), (), "", False, 1.0),
    Whole(Part("b", None, (0, ""), 0.1 + 0.2), ("", "-x", "a b", "é'\n", "None"), "No", True, -0.0),
    Whole(Part("b", (7,), (5, " "), 1.7976931348623157e308), ("--",), "--seed", True, 5e-324),
]  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_config_of_each_experiment_comes_back_from_json(script: Path) -> None:
    module = load_script(script)
    config = parse(module.Config(), module.TINY, description="")
    written = json.loads(json.dumps(to_json(config)))
    again = from_json(module.Config(), written)
    assert again == config != module.Config()
    assert repr(parse(again, [], description="")) == repr(config)


@pytest.mark.parametrize("config", ODD)
def test_odd_values_come_back_from_json_exactly(config: Whole) -> None:
    again = from_json(Whole(), json.loads(json.dumps(dataclasses.asdict(config))))
    assert repr(again) == repr(config)
    assert repr(parse(again, [], description="")) == repr(config)


def test_an_option_that_was_not_written_has_its_default_and_is_named() -> None:
    written = {"part": {"rate": 0.5}, "names": []}
    assert from_json(Whole(), written) == Whole(Part(rate=0.5), ())
    assert lacking(Whole(), written).keys() == {
        "part.kind", "part.widths", "part.pair", "text", "on", "limit"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"part": {"depth": 1}}, "no option part.depth"),
        ({"part": {"kind": "c"}}, 'part.kind cannot be "c"'),
        ({"part": {"widths": ["1"]}}, 'part.widths cannot be \\["1"\\]'),
        ({"part": {"pair": [1]}}, "part.pair cannot be"),
        ({"part": 3}, "part cannot be 3"),
        ({"on": 1}, "on cannot be 1"),
        ({"limit": "x"}, "limit cannot be"),
    ],
)
def test_what_a_config_cannot_have_any_more_is_refused(written: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_json(Whole(), written)
