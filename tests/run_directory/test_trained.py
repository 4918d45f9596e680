import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import linear
import numpy as np
import pytest
from jax.sharding import Mesh

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.trained import choose_step, read_evaluated, read_source, read_usable
from bigmodel.run_directory.variables import describe, read_variables
from bigmodel.training import TrainState

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
BEST = {"run": {"best": "test/accuracy"}}


def write_run(path, *, average=False, steps=(3,), accuracies=(), tokenizer=b"{}", frozen=None):
    checkpoints = Checkpoints(path / "checkpoints", warn=print)
    for step in steps:
        params = {"encoder": {"kernel": jnp.asarray(step * KERNEL)}}
        variables = {"statistics": {"mean": jnp.full(2, step, jnp.float32)}}
        variables |= {"frozen": frozen} if frozen else {}
        whole = {"params": params, **variables}
        moments = jax.tree.map(jnp.zeros_like, params)
        averaged = jax.tree.map(lambda leaf: -leaf, whole) if average else None
        state = TrainState(jnp.asarray(step), params, variables, moments, averaged, None)
        checkpoints.save(step, state, keep=steps)
    checkpoints.close()
    (path / "assets").mkdir()
    (path / "assets" / "variables.json").write_bytes(describe(state, [("kernel", P)]))
    if tokenizer:
        (path / "assets" / "tokenizer.json").write_bytes(tokenizer)
    (path / "config.json").write_text(json.dumps(BEST))
    (path / "manifest.json").write_text(json.dumps({"maximize": ["accuracy"]}))
    lines = [
        {"step": step, "test/accuracy": accuracy}
        for step, accuracy in zip(steps, accuracies, strict=False)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def peak_memory(name="VmHWM"):
    """Bytes of this process, at most since the peak was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (each for each in lines if each.startswith(name))
    return 1024 * int(line.split()[1])


def reset_peak_memory():
    """Sets the peak to what is in use, and returns that; None where the system has no such way."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return peak_memory("VmRSS")


P = jax.sharding.PartitionSpec(None, "fsdp")


def test_a_run_is_read_by_any_name_of_its_folder(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "runs" / "a")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("../runs/a", "../runs/../runs/a", "../linked"):
        found = read_evaluated(read_usable(Path(name)), 3)
        np.testing.assert_array_equal(found["params"]["encoder"]["kernel"], 3 * KERNEL)


@pytest.mark.parametrize("average", [False, True])
def test_variables_are_those_that_are_evaluated(tmp_path, average):
    write_run(tmp_path, average=average)
    variables = read_evaluated(read_usable(tmp_path), 3)
    sign = -1 if average else 1
    np.testing.assert_array_equal(variables["params"]["encoder"]["kernel"], sign * 3 * KERNEL)
    np.testing.assert_array_equal(variables["statistics"]["mean"], [sign * 3] * 2)


def test_variables_are_split_over_a_mesh_as_in_training(tmp_path):
    write_run(tmp_path)
    mesh = Mesh(np.array(jax.devices()[:3]), ("fsdp",))
    kernel = read_evaluated(read_usable(tmp_path), 3, mesh=mesh)["params"]["encoder"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (2, 1)
    np.testing.assert_array_equal(kernel, 3 * KERNEL)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_large_array_is_read_in_pieces_and_without_twice_its_memory(tmp_path, axis):
    kernel = np.arange(3 * 11 * 1_000_000, dtype=np.float32).reshape(3000, 11000)
    checkpoints = Checkpoints(tmp_path, warn=print)
    checkpoints.save(1, {"kernel": jnp.asarray(kernel), "scale": jnp.float32(3)})
    checkpoints.close()
    spec = [None, None]
    spec[axis] = "fsdp"
    leaves = [
        {"path": name, "saved": name, "spec": spec if name == "kernel" else []}
        for name in ("kernel", "scale")
    ]
    description = json.dumps(leaves).encode()
    before = reset_peak_memory()
    found = read_variables(tmp_path / "1", description)
    if before is not None:
        assert peak_memory() - before < 1.5 * kernel.nbytes
    np.testing.assert_array_equal(found["kernel"], kernel)
    assert found["scale"] == 3
    mesh = Mesh(np.array(jax.devices()[:5]), ("fsdp",))
    split = read_variables(tmp_path / "1", description, mesh=mesh)["kernel"]
    assert len(split.sharding.device_set) == 5
    np.testing.assert_array_equal(split, kernel)


def test_the_checkpoint_is_the_best_the_last_or_that_of_a_step(tmp_path):
    write_run(tmp_path, steps=(3, 5, 7), accuracies=(0.5, 0.9, 0.8))
    recorded = read_usable(tmp_path)
    assert [choose_step(recorded, at) for at in ("best", "last", 3)] == [5, 7, 3]
    with pytest.raises(InputError, match=r"no checkpoint of step 4; there are 3, 5, 7"):
        choose_step(recorded, 4)


def test_a_run_to_begin_with_is_its_best_checkpoint_with_its_tokenizer(tmp_path):
    write_run(tmp_path, steps=(3, 5), accuracies=(0.9, 0.5))
    source = read_source(tmp_path, option="--init.from")
    assert {*source.variables} == {"params/encoder/kernel", "statistics/mean"}
    np.testing.assert_array_equal(source.variables["params/encoder/kernel"], 3 * KERNEL)
    assert source.tokenizer == b"{}"
    shutil.copytree(tmp_path, tmp_path / "moved")
    assert read_source(tmp_path / "moved", option="--init.from").sha256 == source.sha256
    write_run(tmp_path / "other", steps=(3, 5), accuracies=(0.5, 0.9), tokenizer=b"")
    other = read_source(tmp_path / "other", option="--init.from")
    assert other.sha256 != source.sha256
    assert other.tokenizer is None


def test_variables_of_which_a_part_was_frozen_are_whole(tmp_path):
    write_run(tmp_path, frozen={"encoder": {"bias": jnp.arange(3, dtype=jnp.float32)}})
    params = read_evaluated(read_usable(tmp_path), 3)["params"]
    np.testing.assert_array_equal(params["encoder"]["bias"], [0, 1, 2])
    np.testing.assert_array_equal(params["encoder"]["kernel"], 3 * KERNEL)


def test_what_is_no_run_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"^--init.from: \S+nowhere does not exist"):
        read_source(tmp_path / "nowhere", option="--init.from")
    with pytest.raises(InputError, match=r"there is no run directory \S+nowhere"):
        read_usable(tmp_path / "nowhere")
    run = tmp_path / "run"
    write_run(run)
    (run / "assets" / "variables.json").unlink()
    with pytest.raises(InputError, match=r"an older version trained it; its own"):
        read_usable(run)
    (run / "checkpoints" / "3").rename(run / "checkpoints" / "x")
    with pytest.raises(InputError, match=r"has no checkpoint; its own command goes on"):
        read_usable(run)
    (run / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"no whole run directory, for it has no manifest.json"):
        read_usable(run)


@pytest.mark.parametrize("at", ["last", "best"])
def test_a_damaged_checkpoint_is_refused(tmp_path, at):
    write_run(tmp_path, accuracies=(0.5,))
    for file in (tmp_path / "checkpoints" / "3").rglob("*"):
        if file.is_file() and file.name != "SHA256SUMS":
            file.write_bytes(b"x")
    with pytest.raises(StorageError, match=r"damaged|cannot be used"):
        choose_step(read_usable(tmp_path), at)


def test_a_run_writes_which_of_its_arrays_are_evaluated(tmp_path):
    assert linear.run(tmp_path) == 0
    recorded = read_usable(tmp_path)
    variables = read_evaluated(recorded, choose_step(recorded, "last"))
    assert variables.keys() == {"params"}


def test_a_finished_run_of_an_older_version_gets_what_it_lacks(tmp_path):
    assert linear.run(tmp_path) == 0
    (tmp_path / "assets" / "variables.json").unlink()
    assert linear.run(tmp_path) == 0
    assert "variables.json" in read_usable(tmp_path).assets
