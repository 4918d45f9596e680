"""A network with a window and global tokens keeps what every experiment promises."""

from pathlib import Path

import numpy as np
import pytest
from recorded import summary
from test_contract import ROOT, build, losses, run, stop_after

from bigmodel.models.attention import parts
from bigmodel.sharding.mesh import MeshShape

pytestmark = pytest.mark.matrix  # of which test_parts.py has the attention alone

WINDOWED = {
    "gpt": ("--model.window=8", "--model.global-tokens=2"),
    "bert": ("--model.window=8", "--model.global-tokens=2"),
    "vit": ("--model.window=8", "--model.patch=1", "--model.pooling=token"),
}


@pytest.fixture(autouse=True)
def _in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short sequences go the way of long ones."""
    monkeypatch.setattr(parts, "KEPT", 1)
    monkeypatch.setattr(parts, "CHUNK", 8)


@pytest.mark.parametrize("script", WINDOWED)
def test_losses_do_not_depend_on_the_mesh(script: str) -> None:
    built = build(ROOT / "experiments" / f"{script}.py", *WINDOWED[script])
    [alone, spread] = (losses(built, shape, 8)[0] for shape in (MeshShape(1), MeshShape(2, 2, 2)))
    np.testing.assert_allclose(spread, alone, rtol=1e-5)


@pytest.mark.parametrize("script", WINDOWED)
def test_resume_gives_the_bits_of_an_undisturbed_run(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(ROOT / "experiments" / f"{script}.py", *WINDOWED[script])
    options = {"steps": 6, "eval_every": 3}
    assert run(built, tmp_path / "whole", **options) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert run(built, tmp_path / "cut", **options) == 0
    assert run(built, tmp_path / "cut", **options) == 0
    found = [summary(tmp_path / name)["params_digest"] for name in ("whole", "cut")]
    assert found[0] == found[1]
