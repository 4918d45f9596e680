from collections.abc import Callable
from pathlib import Path

import pytest
from made_study import Made, make_undisturbed

import launch


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Gives a command that is bad input, and returns the one line that says why."""

    def refused(*words: str) -> str:
        assert launch.main(words) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return error

    return refused


@pytest.fixture(scope="session")
def sequential(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A study whose runs were made one after the other."""
    return make_undisturbed(tmp_path_factory.mktemp("sequential"), "sequential")


@pytest.fixture(scope="session")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same study, its runs side by side."""
    return make_undisturbed(tmp_path_factory.mktemp("vmap"), "vmap")


@pytest.fixture(params=["sequential", pytest.param("side_by_side", marks=pytest.mark.matrix)])
def either_way(request: pytest.FixtureRequest) -> Made:
    """One and then the other."""
    return request.getfixturevalue(request.param)
