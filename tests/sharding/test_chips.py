import pytest

from bigmodel.sharding.chips import name_of_kind


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
        ("cpu", None),
        ("Quadro K620", None),
    ],
)
def test_the_chip_of_a_device_is_found(kind: str, name: str | None) -> None:
    assert name_of_kind(kind) == name
