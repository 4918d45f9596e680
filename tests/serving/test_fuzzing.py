import pytest
from fuzzing import fuzz
from served import Served


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", ["images", "rows"])
def test_random_requests_break_nothing(name: str, request: pytest.FixtureRequest) -> None:
    served: Served = request.getfixturevalue(name)
    statuses = fuzz(served, 400, seed=1)
    assert statuses[200] > 50
    assert statuses[422] > 50
    assert statuses[400] > 10
