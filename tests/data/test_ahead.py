import threading

import pytest

from bigmodel.data.ahead import AHEAD, Ahead


def test_all_come_out_in_order_and_no_more_are_made_ahead_than_may_be() -> None:
    begun = []

    def make(number: int) -> int:
        begun.append(number)
        return number**2

    made = Ahead(make, range(50))
    for number, square in enumerate(made):
        assert square == number**2
        assert len(begun) <= number + 1 + AHEAD
    assert begun == list(range(50))
    assert number == 49


def test_an_error_comes_out_in_its_place() -> None:
    made = Ahead(lambda number: 6 // (2 - number), range(9))
    assert [next(made), next(made)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(made)
    made.close()


def test_whether_the_next_is_made_is_known_without_waiting() -> None:
    go = threading.Event()
    made = Ahead(lambda _: go.wait(20), range(1))
    assert not made.is_ready
    go.set()
    assert next(made)
    assert made.is_ready
    assert next(made, None) is None
