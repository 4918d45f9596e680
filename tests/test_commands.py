"""Every command in a docstring or a page of documentation is one that its parser takes."""

import ast
import functools
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import launch
from bigmodel.experiment import InputError
from bigmodel.runtime import command_line
from bigmodel.runtime.command_line import option_names, parse
from bigmodel.script import load_script

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "*/*.md", "experiments/*.toml")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # which also names what is gone
)
SOURCES = [ROOT / "launch.py", *(
    path
    for folder in ("bigmodel", "experiments", "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
)]  # fmt: skip
INLINE = re.compile(r"(?<!`)(`{1,2})(?!`)([^`]+)\1(?!`)")
COMMAND = re.compile(
    r"""(?<!["\w])python3?\s+((?:launch|(?:experiments|benchmarks|tests)/[\w/]+)\.py\b[^`\n\[]*)"""
)


def texts() -> Iterator[str]:
    """The pages, and the docstrings of all modules, classes and functions."""
    for path in PAGES:
        yield path.read_text(encoding="utf-8")
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield text


def commands(text: str) -> list[str]:
    """Those of a text, continued lines joined and comments cut off."""
    text = re.sub(r"\\\n\s*", " ", text)
    text = INLINE.sub(lambda found: found[0].replace("\n", " "), text)
    return [shlex.join(shlex.split(words, comments=True)) for words in COMMAND.findall(text)]


ALL = sorted({command for text in texts() for command in commands(text)} - {"experiments/mine.py"})


@functools.cache
def module_of(path: Path) -> ModuleType:
    if path.parent.name == "experiments":
        return load_script(path)
    spec = importlib.util.spec_from_file_location(f"command_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(command: str) -> None:
    """Raises InputError for what a parser refuses; nothing is run."""
    script, *words = shlex.split(command)
    if script.startswith("experiments/"):
        parse(module_of(ROOT / script).Config(), words, description="")
    elif script != "launch.py":
        module_of(ROOT / script).read_options(words)
    elif words[0] == "ablate":
        at = words.index("--") if "--" in words else len(words)
        assert launch.main([*words[:at], "--dry-run", *words[at:]]) == 0
    else:
        parsed, options = launch.parse(words)
        if hasattr(parsed, "script") and options:
            # The name of a run begins with that of its script.
            script = parsed.script or f"experiments/{Path(parsed.run).name.split('-')[0]}.py"
            parse(module_of(ROOT / script).Config(), options, description="")


@pytest.mark.parametrize("command", ALL)
def test_is_parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    # The folders that pages name are not here.
    monkeypatch.setattr(command_line, "model_from", lambda _, default: default)
    if command.endswith("--help"):
        with pytest.raises(SystemExit, match="0"):
            check(command)
    else:
        check(command)


@pytest.mark.parametrize(
    "command",
    [
        "experiments/mlp.py --run.step 3",
        "experiments/mlp.py --optimizer.name adamm",
        "launch.py run experiments/mlp.py --devcies 2",
        "launch.py run experiments/mlp.py -- --run.steps x",
        "benchmarks/loop.py cnn",
    ],
)
def test_what_no_parser_takes_is_found(command: str) -> None:
    with pytest.raises((InputError, SystemExit)):
        check(command)


def test_commands_are_found_wherever_they_stand() -> None:
    assert len(ALL) > 80
    lines = "see ``python launch.py list\n  --sort step`` or\n\n    python experiments/a.py --b"
    lines += " \\\n        1   # it's\n| `python benchmarks/c.py d`, e |"
    expected = ["launch.py list --sort step", "experiments/a.py --b 1", "benchmarks/c.py d"]
    assert commands(lines) == expected


def test_options_that_are_named_exist() -> None:
    known = {
        option
        for script in (ROOT / "experiments").glob("*.py")
        for option in option_names(module_of(script).Config())
    } | {command_line.FROM}
    option = re.compile(r"--[a-z-]+(?:\.[a-z0-9_-]*[a-z0-9])+")
    named = {name.replace("_", "-") for text in texts() for name in option.findall(text)}
    assert len(named) > 80
    assert named <= known


def test_extras_that_are_named_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sources = [path.read_text(encoding="utf-8") for path in (*PAGES, *SOURCES)]
    named = {
        extra
        for text in sources
        for names in re.findall(r"install [^\n]*-e '?\.\[([\w,]+)\]", text)
        for extra in names.split(",")
    }
    assert named
    assert named <= set(project["optional-dependencies"])


def test_a_negative_number_is_a_value_however_it_is_written() -> None:
    words = ["audit", "runs/a", "--by", "x", "--edges", "-1e-1", "-.5", "-2.", "-3E2", "0.5"]
    parsed, _ = launch.parse(words)
    assert parsed.edges == [-0.1, -0.5, -2.0, -300.0, 0.5]
