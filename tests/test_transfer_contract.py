"""A run that begins with another, and trains a part of it or adapters, keeps the contract too."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import logged, summary
from test_contract import ROOT, Built, build, case, losses, run, stop_after

import bigmodel
import launch
from bigmodel.inference.measuring import evaluate
from bigmodel.sharding.mesh import MeshShape

CASES = {
    ("mlp", "whole"): (),
    ("mlp", "frozen"): ("--optimizer.freeze=dense_0", "--optimizer.scale=head=0.5"),
    ("mlp", "adapters"): ("--init.lora-rank=2", "--ensemble.members=2"),
    ("gpt", "adapters"): ("--init.lora-rank=2", "--init.lora", "query", "value", "--model.scan"),
    ("bert_classify", "frozen"): ("--optimizer.freeze=embedding", "--optimizer.layer-decay=0.8"),
    ("bert_classify", "adapters"): ("--init.lora-rank=2", "--optimizer.ema=0.9"),
    ("resnet", "adapters"): ("--init.lora-rank=2",),
    ("transformer", "adapters"): ("--init.lora-rank=2",),
    ("gan", "frozen"): ("--optimizer.freeze=project", "--discriminator-optimizer.freeze=score"),
    ("diffusion", "adapters"): ("--init.lora-rank=2",),
}
QUICK = ("mlp", "adapters")
SHORT: dict[str, Any] = {"steps": 6, "eval_every": 3, "log_every": 2}

each_case = pytest.mark.parametrize(
    ("script", "options"),
    [
        case(
            ROOT / "experiments" / f"{stem}.py",
            options,
            name=f"{name}-",
            matrix=(stem, name) != QUICK,
        )
        for (stem, name), options in CASES.items()
    ],
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learned")


@functools.cache
def learned(script: Path, folder: Path) -> Path:
    """A short run to begin with."""
    path = folder / script.stem
    assert run(build(script), path, steps=2, eval_every=2) == 0
    return path


def beginning(script: Path, folder: Path, options: tuple[str, ...]) -> Built:
    return build(script, f"--init.from={learned(script, folder)}", *options)


@each_case
def test_resume_gives_the_bits_and_the_metrics_of_an_undisturbed_run(
    script: Path, options: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = beginning(script, folder, options)
    assert run(built, tmp_path / "whole", **SHORT) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert run(built, tmp_path / "cut", **SHORT) == 0
    assert run(built, tmp_path / "cut", **SHORT) == 0
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert whole["params_digest"] == cut["params_digest"]
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")
    frozen = tmp_path / "cut" / "checkpoints" / "frozen"
    assert frozen.exists() == (options != ())


@pytest.mark.matrix
@each_case
def test_losses_do_not_depend_on_the_mesh(script: Path, options: Any, folder: Path) -> None:
    built = beginning(script, folder, options)
    alone, _ = losses(built, MeshShape(1), 10)
    for layout in (MeshShape(8), MeshShape(2, 4)):
        spread, _ = losses(built, layout, 10)
        np.testing.assert_allclose(spread, alone, rtol=1e-5)


@each_case
def test_a_run_is_evaluated_and_asked_where_what_it_began_with_is_gone(
    script: Path, options: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = shutil.copytree(learned(script, folder), tmp_path / "base")
    built = build(script, f"--init.from={base}", *options)
    assert run(built, tmp_path / "run", **SHORT) == 0
    shutil.rmtree(base)
    (tmp_path / "run").rename(tmp_path / "moved")
    trained = bigmodel.load(tmp_path / "moved", "last")
    ended = summary(tmp_path / "moved")
    found = evaluate(trained).values
    assert {name: ended[name] for name in found} == pytest.approx(found, rel=1e-4, abs=1e-5)
    assert len(trained.predict(list(built.experiment.data.inputs["test"][:2]))) == 2
    assert launch.main(["card", str(tmp_path / "moved")]) == 0
    assert "the data are not those of the run" not in capsys.readouterr().err


@pytest.mark.matrix
@each_case
def test_a_run_is_replayed_with_equal_bits(
    script: Path, options: Any, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    built = beginning(script, folder, options)
    words = [*built.module.TINY, f"--init.from={learned(script, folder)}", *options]
    lengths = ("--run.steps=6", "--run.eval-every=3", f"--run.dir={tmp_path / 'run'}")
    subprocess.run([sys.executable, script, *words, *lengths], check=True, capture_output=True)
    assert launch.main(["replay", str(tmp_path / "run")]) == 0
    assert capfd.readouterr().out.splitlines()[-1].startswith("equal: params_digest")
