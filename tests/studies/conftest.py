import pytest
from made_study import Made, make_undisturbed


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
