import pytest

from bigmodel.experiment import InputError
from bigmodel.planning.target import Target, target
from bigmodel.sharding.chips import CHIPS


def of(topology=None, devices=None, chip=None) -> Target:
    return target(topology=topology, devices=devices, chip=chip)


@pytest.mark.parametrize(
    ("topology", "devices", "chip"),
    [("v5e:8x8", 64, "v5e"), ("v5p:4x4x8", 128, "v5p"), ("h100:16", 16, "h100")],
)
def test_a_topology_is_a_chip_and_so_many_of_it(topology, devices, chip) -> None:
    found = of(topology)
    assert (found.devices, found.chip) == (devices, CHIPS[chip])


def test_devices_may_be_of_any_chip_or_of_one() -> None:
    assert of(devices=256) == Target("256 x any", 256, None)
    assert of(devices=2, chip="l4").chip is CHIPS["l4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give one of --topology"),
        ({"topology": "v5e:8x8", "devices": 8}, "give one of --topology"),
        ({"devices": 0}, "--devices is 0"),
        ({"topology": "v5f:8x8"}, "did you mean v5[ep]"),
        ({"devices": 8, "chip": "h1000"}, "did you mean h100"),
        ({"topology": "v5e:8x8", "chip": "v5e"}, "--chip goes with --devices"),
        ({"topology": "v5e"}, "has no shape; write it as v5e:8x8"),
        ({"topology": "h100:many"}, "has no shape; write it as h100:8"),
        ({"topology": "v5e:3x5"}, "no slice v5e:3x5; there are 1x1, 2x2"),
        ({"topology": "v5p:4x4"}, "three sides"),
        ({"topology": "v5p:4x4x6"}, "a multiple of 4"),
        ({"topology": "v5p:4x4x32"}, "up to 16x16x24"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        of(**arguments)
