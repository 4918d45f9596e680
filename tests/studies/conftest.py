import pytest
from made_study import Made, make_undisturbed


@pytest.fixture(scope="session")
def in_turns(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A study whose runs were made in turns."""
    return make_undisturbed(tmp_path_factory.mktemp("turns"), "turns")


@pytest.fixture(scope="session")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same study, its runs side by side."""
    return make_undisturbed(tmp_path_factory.mktemp("vmap"), "vmap")


@pytest.fixture(params=["in_turns", pytest.param("side_by_side", marks=pytest.mark.matrix)])
def either_way(request: pytest.FixtureRequest) -> Made:
    """One and then the other."""
    return request.getfixturevalue(request.param)
