from dataclasses import dataclass

import pytest

from bigmodel.experiment import InputError
from bigmodel.models.options import MOST_LAYERS, check_dropout, check_sizes


@dataclass
class Options:
    layers: int = 2
    kv_heads: int | None = None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(layers=0), "--model.layers 0 is too small"),
        (Options(layers=MOST_LAYERS + 1), "--model.layers 10001 is too large"),
        (Options(kv_heads=0), "--model.kv-heads 0 is too small"),
    ],
)
def test_a_size_that_no_network_has_is_refused(options: Options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_sizes(options, "layers", "kv_heads")
    check_sizes(Options(), "layers", "kv_heads")


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_what_is_no_rate_of_dropout_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="must be at least 0 and below 1"):
        check_dropout(rate)
