"""What CONTRIBUTING.md promises of the rooms: what each imports, and what it may not know."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    (
        "errors.py",
        "experiment.py",
        "files.py",
        "frozen.py",
        "nearest.py",
        "output.py",
        "partition.py",
        "quantized.py",
        "receiving.py",
        "tree.py",
    ),
    ("config.py", "predictor.py", "script.py"),
    ("models", "data", "figures", "pages", "pretrained", "protection"),
    ("training",),
    ("sharding",),
    ("processes",),
    ("tracking",),
    ("run_directory",),
    ("runtime",),
    ("launching", "planning", "inference"),
    ("analysis", "export", "serving", "studies"),
    ("compression",),
)
"""The rooms, and the files of the ground floor, from the lowest up; the package is the door."""
FLOORS = {"__init__": len(ROOMS)} | {
    Path(room).stem: floor for floor, rooms in enumerate(ROOMS) for room in rooms
}
FILES = sorted((ROOT / "bigmodel").rglob("*.py"))
EXPERIMENTS = {path.stem for path in (ROOT / "experiments").glob("*.py")}
JAX, FLAX, MODELS = "jax", "flax", "bigmodel.models"
LOSSES = "bigmodel.training.losses"
ON_FILES = ("builtins.open", "io", "os", "pathlib", "shutil", "tempfile", "sqlite3")
ON_DEVICES = (
    "jax.Device", "jax.devices", "jax.local_devices", "jax.device_count", "jax.device_put",
    "jax.default_backend", "jax.process_index", "jax.process_count", "jax.distributed",
    "jax.make_mesh", "jax.set_mesh", "jax.sharding.Mesh", "jax.sharding.NamedSharding",
)  # fmt: skip
UNKNOWN = {
    "data": (JAX, FLAX),
    "figures": (JAX, FLAX, "bigmodel.data", MODELS),
    "pages": (JAX, FLAX, "bigmodel.data", MODELS),
    "models": ("bigmodel.data",),
    "pretrained": (JAX, FLAX),
    "protection": (JAX, FLAX),
    "training": (FLAX, *ON_FILES, *ON_DEVICES),
    "sharding": (FLAX, MODELS),
    "processes": (FLAX, MODELS, LOSSES),
    "tracking": (FLAX, MODELS, LOSSES),
    "run_directory": (FLAX, MODELS, LOSSES),
    "runtime": (FLAX, MODELS, LOSSES),
    "launching": (FLAX, "experiments"),
    "planning": (FLAX, "experiments"),
    "inference": (FLAX, "experiments"),
    "analysis": (FLAX, "experiments"),
    "export": (FLAX, "experiments"),
    "studies": (FLAX, "experiments"),
    "serving": (FLAX, "experiments"),
    "compression": (FLAX, "experiments"),
}
"""What each room may not import or name, beside the floors above it."""


def names(source: str, package: str) -> Iterator[str]:
    """Everything that a module imports or refers to by a dotted name, with its whole name.

    ``from x import y`` gives ``x.y``, which is a module or what stands in one, and a call of
    ``import_module`` what its argument begins with.
    """
    tree = ast.parse(source)
    known = {"open": "builtins.open"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                yield f"{module}.{alias.name}"
                known[alias.asname or alias.name] = f"{module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            parts = ast.unparse(node).split(".")
            if parts[0] in known:
                yield ".".join([known[parts[0]], *parts[1:]])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            first = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
            yield from (str(part.value) for part in first[:1])


def literals(source: str) -> set[str]:
    """The strings of a module."""
    return {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def wrong(path: str, source: str) -> list[str]:
    """What a file of the package, ``training/metrics.py``, refers to and may not know."""
    room = Path(Path(path).parts[0]).stem
    package = ".".join(["bigmodel", *Path(path).parent.parts])
    found = []
    for name in names(source, package):
        parts = name.split(".")
        if parts[0] == "bigmodel" and len(parts) > 1 and parts[1] != room:
            floor = FLOORS.get(parts[1], 0)
            if floor > FLOORS[room] or floor == FLOORS[room] != 0:
                found.append(f"{name} is not below {room}")
        if parts[0] == FLAX and room != "models":
            found.append(f"{name} outside of models")
        found += [
            f"{room} knows {name}"
            for taboo in UNKNOWN.get(room, ())
            if name == taboo or name.startswith(f"{taboo}.")
        ]
    if "experiments" in UNKNOWN.get(room, ()):
        stems = {Path(text).name.removesuffix(".py") for text in literals(source) if text}
        found += [f"{room} names the experiment {stem}" for stem in stems & EXPERIMENTS]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_room_knows_only_what_it_may(path: Path) -> None:
    inside = path.relative_to(ROOT / "bigmodel").as_posix()
    assert wrong(inside, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("models/mlp.py", "from bigmodel import training"),
        ("models/mlp.py", "from bigmodel.training.losses import cross_entropy"),
        ("models/texts/gpt.py", "from ...data.texts import text"),
        ("models/mlp.py", "from .. import data"),
        ("pretrained/llama.py", "import jax"),
        ("data/folds.py", "import jax.numpy as jnp"),
        ("data/folds.py", "from bigmodel import runtime as r"),
        ("figures/lines.py", "def draw():\n    from jax import numpy"),
        ("figures/lines.py", "from bigmodel.data import ratings"),
        ("training/metrics.py", "from flax import linen"),
        ("training/metrics.py", "def read(name):\n    return open(name)"),
        ("training/metrics.py", "from pathlib import Path"),
        ("training/metrics.py", "import jax\ncount = len(jax.devices())"),
        ("training/metrics.py", "from jax.sharding import Mesh"),
        ("sharding/mesh.py", "from bigmodel import models"),
        ("runtime/loop.py", "from bigmodel.training import losses"),
        ("runtime/loop.py", "from bigmodel import studies"),
        ("tracking/sinks.py", "importlib.import_module(f'bigmodel.runtime.{name}')"),
        ("studies/report.py", "from experiments import cnn"),
        ("studies/report.py", "script = 'experiments/cnn.py'"),
        ("planning/plan.py", "if script.stem == 'gpt':\n    pass"),
        ("experiment.py", "from bigmodel.training import losses"),
    ],
)  # fmt: skip
def test_what_a_room_may_not_know_is_found(path: str, source: str) -> None:
    assert wrong(path, source)


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
BINARY = {"Image", "KvStore", "lzma", "os", "tarfile", "tensorstore"}
"""Modules and classes whose ``open`` is not for text."""


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
