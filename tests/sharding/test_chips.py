import pytest

from bigmodel.experiment import InputError
from bigmodel.sharding.chips import CHIPS, find_chip, name_of_kind


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v6 lite", "v6e"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
    ],
)
def test_the_chip_of_a_device_is_found(kind: str, name: str) -> None:
    assert name_of_kind(kind) == name


def test_a_cpu_and_an_unknown_device_are_no_chip() -> None:
    assert name_of_kind("cpu") is None
    assert name_of_kind("Quadro K620") is None


def test_an_unknown_chip_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(InputError, match=r"no chip 'v5'; did you mean v5[ep]\?"):
        find_chip("v5")


def test_a_chip_computes_more_than_it_can_read() -> None:
    for chip in CHIPS.values():
        assert chip.bfloat16 >= chip.float32 > chip.memory_bandwidth > chip.link_bandwidth
