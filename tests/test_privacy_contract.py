"""A private run keeps the contract too, and says what it cannot protect."""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rare import rare
from recorded import logged, summary
from test_contract import ROOT, build, case, losses, run, stop_after

from bigmodel.experiment import InputError
from bigmodel.runtime.loop import init_key, step_key
from bigmodel.runtime.side_by_side import side_by_side
from bigmodel.sharding.mesh import MeshShape

pytest.importorskip("dp_accounting")

# A batch that every mesh divides, and a budget that the accountant is quick with.
BUDGET = ("--privacy.epsilon=1", "--privacy.microbatch=16", "--run.steps=6")
CONSTANT = "--optimizer.schedule=constant"
SHORT: dict[str, Any] = {"steps": 6, "eval_every": 3, "log_every": 2}
EXPERIMENTS = ROOT / "experiments"


def scripts(*quick: str) -> Any:
    stems = ("cnn", "mlp", "gpt", "bert", "bert_classify", "rnn", "transformer", "tagging")
    cases = [case(EXPERIMENTS / f"{s}.py", matrix=s not in quick) for s in (*stems, "autoencoder")]
    return pytest.mark.parametrize("script", cases)


@scripts("mlp")
def test_a_resume_gives_the_bits_and_the_metrics_and_a_longer_run_is_refused(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(script, *BUDGET, CONSTANT)
    assert run(built, tmp_path / "whole", **SHORT) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert run(built, tmp_path / "cut", **SHORT) == 0
    assert run(built, tmp_path / "cut", **SHORT) == 0
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert whole["params_digest"] == cut["params_digest"]
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")
    spent = [line["train/epsilon"] for line in logged(tmp_path / "cut") if "train/loss" in line]
    assert 0 < spent[0] < spent[-1] <= 1
    assert whole["privacy"]["epsilon"] == spent[-1] == built.experiment.privacy.spent(6)
    with pytest.raises(InputError, match=r"the noise of privacy.epsilon 1.0 depends"):
        run(build(script, *BUDGET, CONSTANT, "--run.steps=8"), tmp_path / "cut", steps=8)


@scripts("mlp")
@pytest.mark.parametrize("layout", [MeshShape(8), rare(MeshShape(2, 4))])
def test_losses_do_not_depend_on_the_mesh(script: Path, layout: MeshShape) -> None:
    built = build(script, *BUDGET)
    alone, _ = losses(built, MeshShape(1), 5)
    spread, _ = losses(built, layout, 5)
    np.testing.assert_allclose(spread, alone, rtol=1e-5)


@pytest.mark.matrix
def test_seeds_side_by_side_have_the_values_of_each_alone() -> None:
    """Batches of different seeds have different numbers of examples, and so of parts."""
    one = build(EXPERIMENTS / "mlp.py", *BUDGET).experiment
    together = side_by_side(one)
    number = next(n for n in range(20) if np.ptp(together.data.train((0, 1), n)["weight"].sum(1)))
    batch = together.data.train((0, 1), number)
    state = together.init(jnp.stack([init_key(0), init_key(1)]))
    keys = jnp.stack([step_key(0), step_key(1)])
    found, _, _ = jax.jit(together.train_step)(state, batch, keys)
    step = jax.jit(one.train_step)
    for seed in (0, 1):
        alone, _, _ = step(one.init(init_key(seed)), one.data.train(seed, number), step_key(seed))
        jax.tree.map(
            lambda a, b, seed=seed: np.testing.assert_allclose(a[seed], b, rtol=1e-4, atol=1e-6),
            found.params,
            alone.params,
        )


@pytest.mark.parametrize(
    ("stem", "options", "words"),
    [
        ("cnn", ("--model.batch-norm",), "batch normalization .batch_stats. mixes"),
        ("cnn", ("--data.mixup=0.2",), "mixup and --data.cutmix mix two"),
        ("cnn", ("--optimizer.accumulate=2",), "in parts of --privacy.microbatch"),
        ("cnn", ("--optimizer.skip-nonfinite=2",), "would tell whether"),
        rare("gan", (), "learns targets by one loss"),
        rare("recommender", (), "a run keeps all ratings"),
        rare("rnn", ("--data.name=sunspots",), "windows of a series overlap"),
        ("word2vec", (), "drawn one by one"),
    ],
)
def test_what_would_not_be_protected_is_refused(
    stem: str, options: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        run(build(EXPERIMENTS / f"{stem}.py", *BUDGET, *options), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.matrix
def test_a_run_does_not_begin_with_what_was_learned_from_the_same_examples(tmp_path: Path) -> None:
    script = EXPERIMENTS / "mlp.py"
    assert run(build(script), tmp_path / "open", **SHORT) == 0
    tuned = build(script, f"--init.from={tmp_path / 'open'}", f"--teacher.run={tmp_path / 'open'}")
    assert run(tuned, tmp_path / "tuned", **SHORT) == 0
    for option, name in itertools.product(("--init.from", "--teacher.run"), ("open", "tuned")):
        built = build(script, *BUDGET, f"{option}={tmp_path / name}")
        with pytest.raises(InputError, match=f"{option} .* has learned from the same examples"):
            run(built, tmp_path / "private", **SHORT)
