import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import InputError
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.trained import read_trained

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


def write_run(path, *, average=None, steps=(3,)):
    checkpoints = Checkpoints(path / "checkpoints", warn=print)
    for step in steps:
        params = {"encoder": {"kernel": jnp.asarray(step * KERNEL)}}
        state = {"step": jnp.asarray(step), "params": params, "average": average}
        checkpoints.save(step, state, keep=steps)
    checkpoints.close()
    (path / "tokenizer.json").write_bytes(b"{}")


def test_parameters_are_those_of_the_last_checkpoint(tmp_path):
    write_run(tmp_path, steps=(3, 5))
    trained = read_trained(tmp_path, option="--pretrained")
    assert list(trained.params) == ["encoder/kernel"]
    np.testing.assert_array_equal(trained.params["encoder/kernel"], 5 * KERNEL)
    assert trained.tokenizer == b"{}"


@pytest.mark.parametrize("older", [False, True], ids=["with statistics", "of older versions"])
def test_averaged_parameters_are_preferred(tmp_path, older):
    average = {"encoder": {"kernel": jnp.asarray(-KERNEL)}}
    statistics = {"mean": jnp.zeros(2)}
    write_run(tmp_path, average=average if older else {"params": average, "stats": statistics})
    trained = read_trained(tmp_path, option="--pretrained")
    assert list(trained.params) == ["encoder/kernel"]
    np.testing.assert_array_equal(trained.params["encoder/kernel"], -KERNEL)


def test_a_directory_without_a_checkpoint_or_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^--pretrained \S+ has no checkpoint; give the dir"):
        read_trained(tmp_path / "nowhere", option="--pretrained")
    write_run(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"has no tokenizer.json"):
        read_trained(tmp_path, option="--pretrained")
