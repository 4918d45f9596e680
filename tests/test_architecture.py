"""The floors of the house: each room imports only those below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    (
        "errors.py",
        "experiment.py",
        "files.py",
        "nearest.py",
        "output.py",
        "partition.py",
        "tree.py",
    ),
    ("config.py", "script.py"),
    ("models", "data", "figures"),
    ("training",),
    ("sharding",),
    ("processes",),
    ("tracking",),
    ("run_directory",),
    ("runtime",),
    ("launching", "planning"),
    ("studies",),
)
"""The rooms, and the files of the ground floor, from the lowest up."""
FLOORS = {"__init__": 0} | {
    Path(room).stem: floor for floor, rooms in enumerate(ROOMS) for room in rooms
}
FILES = sorted((ROOT / "bigmodel").rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_room_imports_only_floors_below_it(path: Path) -> None:
    room = Path(path.relative_to(ROOT / "bigmodel").parts[0]).stem
    floor = FLOORS[room]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "bigmodel" and len(parts) > 1 and parts[1] != room:
            assert FLOORS[parts[1]] < floor or floor == FLOORS[parts[1]] == 0, name
        if parts[0] == "flax":
            assert room == "models", "Flax is imported in models/ only"
        if parts[0] == "jax":
            assert room not in ("data", "figures"), f"{room}/ imports no JAX"


def test_data_and_the_contract_are_imported_without_jax() -> None:
    code = (
        "import sys, bigmodel.experiment, bigmodel.data.images.images, bigmodel.data.texts.text\n"
    )
    code += "sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert not [path for path in FILES if path.stem in drawers]
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 350]


def test_no_room_has_more_than_a_dozen_files() -> None:
    rooms = {path.parent for path in FILES if path.parent != ROOT / "bigmodel"}
    full = {room.name: len([*room.glob("[!_]*.py")]) for room in rooms}
    assert not {room: files for room, files in full.items() if files > 12}


TEXT = {"open", "fdopen", "read_text", "write_text", "NamedTemporaryFile"}
BINARY = {"Image", "lzma", "os"}
"""Modules whose ``open`` is not for text."""


def reads_or_writes_text(call: ast.Call) -> bool:
    """Whether a call opens a file, or a program's pipes, as text."""
    words = {word.arg: word.value for word in call.keywords}
    if "text" in words or "universal_newlines" in words:
        return True
    match call.func:
        case ast.Attribute(value=ast.Name(id=module), attr="open") if module in BINARY:
            return False
        case ast.Attribute(attr=name):
            positional = call.args[1 if name == "fdopen" else 0 :]
        case ast.Name(id="open" as name):
            positional = call.args[1:]
        case _:
            return False
    modes = [words["mode"]] if "mode" in words else positional
    binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)
    return name in TEXT and not (binary and name in ("open", "fdopen", "NamedTemporaryFile"))


def test_text_has_the_same_encoding_under_every_locale() -> None:
    lacking = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in [*FILES, ROOT / "launch.py", *(ROOT / "experiments").glob("*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and reads_or_writes_text(node)
        if "encoding" not in {word.arg for word in node.keywords}
    ]
    assert not lacking
