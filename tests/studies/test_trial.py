"""Which way a trial chooses, by what steps take."""

import linear
import pytest

from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.settings import Run, Settings
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.studies.ablation import trial

ONE = linear.experiment()


def measured(
    *, width: int = 4, steps: int = 10**6, devices: int = 1, workers: int = 1
) -> trial.Trial:
    compiled = compile_experiment(ONE, make_mesh(MeshShape(devices)))
    config = Settings(mesh=MeshShape(devices), run=Run(steps=steps))
    return trial.measure(ONE, compiled, config, width=width, runs=width, workers=workers)


def told(monkeypatch: pytest.MonkeyPatch, *times: tuple[float, float]) -> None:
    """Seconds of a first step and of a later one: of one run, then of those side by side."""
    left = list(times)
    monkeypatch.setattr(trial, "_time", lambda *_: left.pop(0))


@pytest.mark.parametrize(
    ("together", "seeds_by"),
    [(0.1, "vmap"), (0.26, "vmap"), (0.27, "sequential"), (1.0, "sequential")],
)
def test_side_by_side_has_to_be_quicker_by_a_margin(monkeypatch, together, seeds_by) -> None:
    """Four steps of 0.1 s one by one against 1.5 times what they take side by side."""
    told(monkeypatch, (1.0, 0.1), (1.0, together))
    found = measured()
    assert found.seeds_by == seeds_by
    assert f"4 runs takes 400 ms one by one and {together * 1e3:.3g} ms side by side" in found.why


def test_runs_one_by_one_are_shared_by_the_workers(monkeypatch) -> None:
    told(monkeypatch, (1.0, 0.1), (1.0, 0.15))
    assert measured(workers=2).seeds_by == "sequential"
    told(monkeypatch, (1.0, 0.1), (1.0, 0.13))
    found = measured(workers=2)
    assert found.seeds_by == "vmap"
    assert "4 runs takes 200 ms one by one and 130 ms side by side" in found.why


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"width": 1}, "sequential: there is one seed"),
        ({"devices": 2}, "sequential: a run takes 2 devices"),
        ({"steps": 20}, "sequential: 8 s of training are not worth a trial"),
    ],
)
def test_a_trial_is_made_where_it_may_be_worth_it(monkeypatch, options: dict, why: str) -> None:
    told(monkeypatch, (1.0, 0.1))
    assert measured(**options) == trial.Trial("sequential", why)


def test_states_that_do_not_fit_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, (1.0, 0.1))
    monkeypatch.setattr(trial, "memory_of", lambda _: 1000)
    assert measured() == trial.Trial("sequential", "sequential: 4 states do not fit side by side")


def test_many_small_steps_are_quicker_side_by_side() -> None:
    """Real steps, of which a single one takes little more than its dispatch."""
    assert measured(width=64, steps=10**9).seeds_by == "vmap"
