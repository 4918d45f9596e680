"""What data does to its batches on the devices is a part of whatever takes them."""

from pathlib import Path
from typing import Any

import jax
import linear
import numpy as np
import pytest
from recorded import digest, logged
from test_contract import ROOT, build, losses
from test_side_by_side import alone, together

from bigmodel.experiment import WHOLE, Batch, Experiment, InputError
from bigmodel.receiving import receiving
from bigmodel.sharding.mesh import MeshShape
from bigmodel.training.fitting import fit
from bigmodel.training.metrics import cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised

PLAIN = linear.data()
SGD = Optimizer("sgd", learning_rate=0.05)


def mix(batch: Batch) -> dict[str, Any]:
    """Doubles images, and adds to each the one as far from the other end of its batch."""
    image = 2 * batch["image"]
    return {**batch, "image": image + 0.25 * image[::-1]}


def on_the_host() -> Experiment:
    """Batches that are doubled and mixed before they are sent."""

    def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        whole = mix(PLAIN.train(seed, step))
        return {name: array[rows] for name, array in whole.items()}

    splits = {name: [mix(batch) for batch in split] for name, split in PLAIN.splits.items()}
    return built(PLAIN._replace(train=train, splits=splits))


def on_the_devices() -> Experiment:
    return built(PLAIN._replace(receive=mix))


def built(data: Any) -> Experiment:
    return supervised(linear.MODEL, cross_entropy, {}, SGD, data, steps=40)


def test_a_run_is_the_same_wherever_its_batches_are_changed(tmp_path: Path) -> None:
    for name, one in (("host", on_the_host()), ("devices", on_the_devices())):
        assert linear.run(tmp_path / name, one=one) == 0
    assert digest(tmp_path / "host") == digest(tmp_path / "devices")
    assert logged(tmp_path / "host") == logged(tmp_path / "devices")


def test_runs_side_by_side_mix_rows_of_their_own_batches(tmp_path: Path) -> None:
    alone(tmp_path / "alone", on_the_devices())
    together(tmp_path / "beside", on_the_devices())
    for name in "012":
        ours, theirs = (logged(tmp_path / way / name) for way in ("beside", "alone"))
        for here, there in zip(ours, theirs, strict=True):
            assert here == pytest.approx(there, rel=1e-5)


def test_a_fit_receives_and_twice_is_once() -> None:
    once, twice = receiving(on_the_devices()), receiving(receiving(on_the_devices()))
    expected = fit(on_the_host(), steps=5).params
    for one in (on_the_devices(), once, twice):
        jax.tree.map(np.testing.assert_array_equal, fit(one, steps=5).params, expected)


def test_mixed_images_train_alike_on_every_mesh() -> None:
    options = ("--data.mixup=0.4", "--data.cutmix=1", "--data.crop=0.5", "--data.randaugment=1")
    one = build(ROOT / "experiments" / "cnn.py", *options)
    alone, spread = (losses(one, MeshShape(devices), 4)[0] for devices in (1, 4))
    np.testing.assert_allclose(spread, alone, rtol=1e-5)
    plain = losses(build(ROOT / "experiments" / "cnn.py"), MeshShape(1), 4)[0]
    assert plain != alone


@pytest.mark.parametrize("script", ["gan", "diffusion", "autoencoder", "vqvae"])
def test_only_classes_are_mixed(script: str) -> None:
    with pytest.raises(InputError, match=r"^--data.mixup mixes classes, and .*; leave it out$"):
        build(ROOT / "experiments" / f"{script}.py", "--data.mixup=0.2")
