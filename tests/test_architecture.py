"""The floors of the house: each room imports only those below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"studies": 6, "launching": 5, "planning": 5, "runtime": 4, "sharding": 3, "training": 2}
FLOORS |= dict.fromkeys(("models", "data", "figures"), 1)
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
    room = path.relative_to(ROOT / "bigmodel").parts[0]
    floor = FLOORS.get(room, 0)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "bigmodel" and len(parts) > 1 and parts[1] != room:
            assert FLOORS.get(parts[1], 0) < floor or floor == FLOORS.get(parts[1], 0) == 0, name
        if parts[0] == "flax":
            assert room == "models", "Flax is imported in models/ only"
        if parts[0] == "jax":
            assert room not in ("data", "figures"), f"{room}/ imports no JAX"


def test_data_and_the_contract_are_imported_without_jax() -> None:
    code = "import sys, bigmodel.experiment, bigmodel.data.images, bigmodel.data.text\n"
    code += "sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert not [path for path in FILES if path.stem in drawers]
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 350]
