import math
import os

import pytest

from bigmodel.experiment import InputError
from bigmodel.planning.apart import DiedError, apart
from bigmodel.planning.target import target


def test_a_call_apart_gives_what_the_function_gives() -> None:
    assert apart(math.gcd, 12, 18) == 6


def test_what_is_raised_there_is_raised_here() -> None:
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        apart(math.sqrt, -1)


def test_a_process_that_dies_is_an_error_and_leaves_this_one_alone(capfd) -> None:
    with pytest.raises(DiedError):
        apart(os.abort)
    assert capfd.readouterr().err == ""


def test_bad_input_there_is_bad_input_here() -> None:
    with pytest.raises(InputError, match="no chip"):
        apart(_no_chip)


def _no_chip() -> None:
    target(topology="v0:2x2", devices=None, chip=None)
