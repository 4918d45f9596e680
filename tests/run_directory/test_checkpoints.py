import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.sums import SUMS, find_damage
from bigmodel.sharding.mesh import MeshShape, make_mesh

STATE = {
    "kernel": np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32),
    "half": np.arange(8, dtype=np.float32).astype(jnp.bfloat16),
    "step": np.asarray(7, np.int32),
}


def on_mesh(state, shape: MeshShape, spec=P("fsdp")):
    mesh = make_mesh(shape)
    shardings = {
        name: NamedSharding(mesh, spec if array.ndim == 2 else P()) for name, array in state.items()
    }
    return jax.device_put(state, shardings)


def target(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def saved(tmp_path: Path, warnings: list[str]):
    checkpoints = Checkpoints(tmp_path / "checkpoints", warn=warnings.append)
    state = on_mesh(STATE, MeshShape(1, 8))
    for step in (1, 2, 3):
        checkpoints.save(step, state, keep={1, 2})
    checkpoints.wait()
    yield checkpoints
    checkpoints.close()


def largest_file(folder: Path) -> Path:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != SUMS]
    return max(files, key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("shape", [MeshShape(1), MeshShape(8), MeshShape(2, 4)])
def test_a_state_comes_back_bit_for_bit_on_any_mesh(saved, shape) -> None:
    wanted = target(on_mesh(STATE, shape))
    restored = saved.restore(3, wanted)
    for name, array in STATE.items():
        assert restored[name].sharding == wanted[name].sharding
        np.testing.assert_array_equal(np.asarray(restored[name]), array)


def test_the_sums_are_those_of_sha256sum(saved) -> None:
    folder = saved.directory / "3"
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=folder, check=True)
    listed = {line.split("  ", 1)[1] for line in (folder / SUMS).read_text().splitlines()}
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert listed == there - {SUMS}


def test_only_the_wanted_steps_are_kept(saved) -> None:
    assert saved.steps() == [1, 2, 3]
    saved.save(4, on_mesh(STATE, MeshShape(1)), keep={2})
    saved.wait()
    assert saved.steps() == [2, 4]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = {
    "flipped byte": flip,
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "missing": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_newest_step_is_named_and_the_one_before_used(saved, warnings, damage) -> None:
    path = largest_file(saved.directory / "3")
    damage(path)
    assert saved.newest_intact() == 2
    assert len(warnings) == 1
    assert str(path) in warnings[0]


def test_an_unfinished_save_is_named_and_ignored(saved, warnings) -> None:
    partial = saved.directory / "4.partial"
    (saved.directory / "3").rename(partial)
    assert saved.newest_intact() == 2
    assert str(partial) in warnings[0]


def test_all_damaged_is_an_error_and_changes_nothing(saved) -> None:
    for step in saved.steps():
        flip(largest_file(saved.directory / str(step)))
    before = sorted(p.read_bytes() for p in saved.directory.rglob("*") if p.is_file())
    with pytest.raises(StorageError, match=r"all checkpoints .* are damaged"):
        saved.newest_intact()
    assert before == sorted(p.read_bytes() for p in saved.directory.rglob("*") if p.is_file())


@pytest.mark.parametrize("content", ["", "not sums\n"])
def test_a_damaged_list_of_sums_is_damage(saved, content) -> None:
    (saved.directory / "3" / SUMS).write_text(content)
    assert SUMS in (find_damage(saved.directory / "3") or "")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({**STATE, "kernel": np.zeros((16, 9), np.float32)}, r"kernel has shape \[16, 8\] there"),
        ({**STATE, "bias": np.zeros(3, np.float32)}, "it has no bias"),
        ({"kernel": STATE["kernel"], "step": STATE["step"]}, "it has half, which"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(saved, other, message) -> None:
    with pytest.raises(InputError, match=message):
        saved.restore(3, target(on_mesh(other, MeshShape(1))))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    checkpoints = Checkpoints(tmp_path / "file" / "checkpoints", warn=print)
    with pytest.raises(StorageError, match=str(tmp_path / "file")):
        checkpoints.save(1, on_mesh(STATE, MeshShape(1)))
    checkpoints.close()


def test_a_disk_without_room_is_named_before_anything_is_written(saved, monkeypatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match=r"checkpoints/9: it needs .* MB and the disk has 0.0"):
        saved.save(9, on_mesh(STATE, MeshShape(1)))
    assert {path.name for path in saved.directory.iterdir()} == {"1", "2", "3"}


def test_a_power_cut_always_leaves_an_intact_one(saved, monkeypatch) -> None:
    """A file is on the disk before the folder's new name, and that before an older one goes."""
    events: list[tuple[str, str]] = []

    def noted(name: str, function: Any, where: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            path = str(where(*arguments)).replace(f"{saved.directory}/", "")
            events.append((name, path))
            return function(*arguments, **options)

        return call

    def opened(descriptor: int) -> str:
        return os.readlink(f"/proc/self/fd/{descriptor}")

    monkeypatch.setattr(os, "fsync", noted("sync", os.fsync, opened))
    monkeypatch.setattr(Path, "rename", noted("rename", Path.rename, lambda path, _: path))
    monkeypatch.setattr(shutil, "rmtree", noted("remove", shutil.rmtree, lambda path, **_: path))
    saved.save(4, on_mesh(STATE, MeshShape(1)))
    saved.wait()
    renamed = events.index(("rename", "4.partial"))
    written = {path for name, path in events[:renamed] if name == "sync"}
    listed = (saved.directory / "4" / SUMS).read_text().splitlines()
    files = {f"4.partial/{line.partition('  ')[2]}" for line in listed}
    folders = {"4.partial", *(str(Path(file).parent) for file in files)}
    assert files | folders | {f"4.partial/.{SUMS}.partial"} <= written
    after = events[renamed + 1 :]
    assert after[0] == ("sync", str(saved.directory))
    assert sorted(after[1:]) == [("remove", "1"), ("remove", "2"), ("remove", "3")]


def test_a_damaged_step_that_is_made_again_is_replaced(saved) -> None:
    flip(largest_file(saved.directory / "3"))
    saved.save(3, on_mesh(STATE, MeshShape(1)), keep={2})
    saved.wait()
    assert {path.name for path in saved.directory.iterdir()} == {"2", "3"}
    assert saved.newest_intact() == 3


def test_a_failure_in_the_background_comes_out(saved, monkeypatch) -> None:
    def full(folder):
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr("bigmodel.run_directory.checkpoints.write_sums", full)
    saved.save(9, on_mesh(STATE, MeshShape(1)), keep=saved.steps())
    with pytest.raises(StorageError, match="checkpoints/9: No space left on device"):
        saved.wait()
    assert saved.steps() == [1, 2, 3]


def test_the_saved_state_is_that_of_the_call_though_its_buffers_are_donated(saved) -> None:
    bump = jax.jit(lambda s: jax.tree.map(lambda x: x + jnp.ones((), x.dtype), s), donate_argnums=0)
    state = {"big": jax.device_put(np.zeros((512, 512), np.float32))}
    saved.save(5, state)
    for _ in range(50):
        state = bump(state)
    saved.wait()
    found = saved.restore(5, target(state))
    assert float(jnp.max(found["big"])) == 0.0


HALVES = {
    "params": {"kernel": STATE["kernel"]},
    "variables": {"frozen": {"base": STATE["kernel"] + 1}, "statistics": {"mean": STATE["half"]}},
}


@pytest.fixture
def with_frozen(tmp_path: Path, warnings: list[str]):
    checkpoints = Checkpoints(tmp_path / "checkpoints", warn=warnings.append)
    for step in (1, 2):
        checkpoints.save(step, jax.device_put(HALVES), keep={1})
    checkpoints.wait()
    yield checkpoints
    checkpoints.close()


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_what_is_frozen_is_saved_once_and_comes_back_with_every_step(with_frozen) -> None:
    folder = with_frozen.directory
    assert {path.name for path in folder.iterdir()} == {"1", "2", "frozen"}
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=folder / "frozen", check=True
    )
    assert not [*(folder / "2").rglob("*frozen*")]
    found = Checkpoints(folder, warn=print).restore(2, target(jax.device_put(HALVES)))
    jax.tree.map(np.testing.assert_array_equal, found, HALVES)


def test_a_run_that_goes_on_leaves_what_is_frozen_alone(with_frozen) -> None:
    inode = (with_frozen.directory / "frozen").stat().st_ino
    again = Checkpoints(with_frozen.directory, warn=print)
    again.save(3, again.restore(2, target(jax.device_put(HALVES))), keep={2})
    again.close()
    assert again.steps() == [2, 3]
    assert (with_frozen.directory / "frozen").stat().st_ino == inode


def test_a_run_that_begins_again_replaces_what_is_frozen(with_frozen) -> None:
    other = jax.tree.map(lambda leaf: leaf * 2, HALVES)
    again = Checkpoints(with_frozen.directory, warn=print)
    again.save(1, jax.device_put(other))
    again.close()
    found = again.restore(1, target(jax.device_put(HALVES)))
    jax.tree.map(np.testing.assert_array_equal, found, other)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_to_what_is_frozen_is_damage_of_all_steps(with_frozen, damage) -> None:
    path = largest_file(with_frozen.directory / "frozen")
    damage(path)
    with pytest.raises(StorageError, match=rf"all checkpoints .* the newest in {path}"):
        with_frozen.newest_intact()
    with pytest.raises(StorageError, match=str(path)):
        with_frozen.check_intact(1)
