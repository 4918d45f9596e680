import subprocess
import sys

import bigmodel.data
from bigmodel.data import _PLACES


def test_every_public_name_is_where_it_is_said_to_be():
    for names in _PLACES.values():
        for name in names:
            assert getattr(bigmodel.data, name).__name__ == name


def test_a_kind_of_data_is_imported_without_the_packages_of_another():
    code = (
        "import sys; from bigmodel.data import ImageData, SeriesData;"
        "sys.exit(any(name in sys.modules for name in ('jax', 'tokenizers', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
