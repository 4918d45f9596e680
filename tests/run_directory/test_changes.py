import shutil
from pathlib import Path
from typing import Any

import pytest

import bigmodel
from bigmodel.run_directory.changes import changes, changes_on_the_way
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.run_directory.manifest import identity

CODE = {"commit": "1" * 40, "diff": "", "untracked": ""}
BEFORE: dict[str, Any] = {
    "data_fingerprint": "d" * 64,
    "code": "c" * 16,
    "git": CODE,
    "python": "3.11.9",
    "packages": {"jax": "0.10.2", "tokenizers": None},
    "platform": "Linux",
    "processor": "one",
    "device_kind": "cpu",
    "cores": 2,
    "xla_flags": "--xla_b --xla_a",
    "accelerator": {"XLA_CLIENT_MEM_FRACTION": "0.9"},
    "jax_flags": {"jax_enable_x64": "False", "jax_threefry_partitionable": "True"},
}


@pytest.mark.parametrize(
    ("new", "what", "effect"),
    [
        ({"code": "e" * 16}, "the code", "another run"),
        ({"git": CODE | {"diff": "+"}}, "the commit, with the same code", "none"),
        ({"git": None}, "the commit, with the same code", "none"),
        ({"data_fingerprint": "e" * 64}, "the data", "another run"),
        ({"packages": {"jax": "0.10.3", "tokenizers": None}}, "the package jax", "rounding"),
        ({"packages": {"jax": "0.10.2", "tokenizers": "1"}}, "the package tokenizers", "rounding"),
        ({"python": "3.12.0"}, "Python", "rounding"),
        ({"platform": "Linux-6"}, "the system", "none"),
        ({"processor": "two"}, "the processor", "rounding"),
        ({"device_kind": "TPU v5"}, "the device", "rounding"),
        ({"cores": 4}, "the number of cores", "rounding"),
        ({"xla_flags": "--xla_a"}, "XLA's flags", "rounding"),
        ({"accelerator": {"XLA_CLIENT_MEM_FRACTION": ""}}, "XLA_CLIENT_MEM_FRACTION", "rounding"),
        ({"jax_flags": {"jax_enable_x64": "False", "jax_threefry_partitionable": "False"}},
         "JAX's flag jax_threefry_partitionable", "another run"),
        ({"jax_flags": {"jax_threefry_partitionable": "True"}},
         "JAX's flag jax_enable_x64", "rounding"),
    ],
)  # fmt: skip
def test_each_difference_is_named_with_its_effect(new: dict, what: str, effect: str) -> None:
    (found,) = changes(BEFORE, BEFORE | new)
    assert (found.what, found.effect) == (what, effect)


@pytest.mark.parametrize(
    "new",
    [
        {},
        {"xla_flags": "--xla_a --xla_b --xla_force_host_platform_device_count=8"},
        {"started": 1.0, "command": ["other"], "directory": "/elsewhere", "seed": 1},
    ],
)
def test_what_no_bit_depends_on_is_no_difference(new: dict) -> None:
    assert changes(BEFORE, BEFORE | new) == []


def test_a_manifest_without_a_digest_of_the_code_is_compared_by_its_commit() -> None:
    before = {name: value for name, value in BEFORE.items() if name != "code"}
    assert changes(before, BEFORE) == changes({}, BEFORE) == changes(BEFORE, {}) == []
    (found,) = changes(before, BEFORE | {"git": CODE | {"diff": "+"}})
    assert (found.what, found.effect) == ("the code", "another run")


def test_a_run_is_of_the_start_from_which_it_has_come_and_says_what_changed_later(
    tmp_path: Path,
) -> None:
    start = BEFORE | {"command": [], "started": 1.0, "device_count": 1, "process_count": 1}
    later = start | {"code": "b" * 16, "packages": {"jax": "1"}, "device_count": 8}
    directory = RunDirectory(tmp_path / "run")
    for step, one in ((0, start | {"code": "a" * 16}), (0, start), (40, start), (50, later)):
        directory.create({}, one, step=step)
    directory.close()
    manifest = directory.read_json("manifest.json")
    assert manifest is not None
    assert manifest["code"] == BEFORE["code"]
    assert [start["step"] for start in manifest["starts"]] == [0, 0, 40, 50]
    assert [(change.what, change.effect) for change in changes_on_the_way(manifest)] == [
        ("the code", "another run"),
        ("the package jax", "rounding"),
        ("the number of devices", "rounding"),
    ]


@pytest.mark.parametrize("file", ["bigmodel/data/split.py", "one.py"])
def test_one_character_of_the_code_is_another_code_without_git_too(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path(bigmodel.__file__).parent, tmp_path / "bigmodel")
    monkeypatch.setattr(bigmodel, "__file__", str(tmp_path / "bigmodel" / "__init__.py"))
    (tmp_path / "one.py").write_text("#")
    before = identity(tmp_path / "one.py")["code"]
    assert identity(tmp_path / "one.py")["code"] == before
    (tmp_path / file).write_text((tmp_path / file).read_text() + " ")
    assert identity(tmp_path / "one.py")["code"] != before
