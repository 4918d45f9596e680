"""How often processes ask each other whether to stop; tests of real ones are elsewhere."""

from collections.abc import Callable

import jax
import pytest

from bigmodel.processes import agreement
from bigmodel.processes.agreement import SECONDS, Agreement
from bigmodel.processes.signals import StopRequest
from bigmodel.sharding.mesh import MeshShape, make_mesh


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still, and what moves it."""
    now = [100.0]
    monkeypatch.setattr(agreement.time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What this process, one of two, tells the other each time that it asks."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    told: list[float] = []
    ask = Agreement.ask

    def telling(self: Agreement, seconds: float = 0.0) -> object:
        told.append(seconds)
        return ask(self, seconds)

    monkeypatch.setattr(Agreement, "ask", telling)
    return told


@pytest.mark.parametrize(("each", "most"), [(0.001, 12), (0.01, 18), (3.0, 1000)])
def test_processes_ask_about_every_second_and_hear_a_signal_soon(
    each: float, most: int, clock: Callable[[float], None], asked: list[float]
) -> None:
    stop, beats = StopRequest(), []
    reached = Agreement(make_mesh(MeshShape(8)), stop).at_times(lambda: beats.append(None))
    for _ in range(1000):
        assert not reached()
        clock(each)
    assert len(asked) <= most
    assert len(beats) == 1000
    stop.number = 15
    waited = 0
    while not reached():
        waited += 1
        clock(each)
    assert waited * each <= max(2 * SECONDS, each)


def test_a_process_alone_asks_nobody_and_hears_its_signal_at_once() -> None:
    stop = StopRequest()
    reached = Agreement(make_mesh(MeshShape(8)), stop).at_times(lambda: None)
    assert not reached()
    stop.number = 15
    assert reached()
