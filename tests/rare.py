"""Cases that are left to the matrix, for others of their kind hold what they hold."""

from typing import Any

import pytest


def rare(*values: Any, **options: Any) -> Any:
    """A case that CI leaves out."""
    return pytest.param(*values, marks=pytest.mark.matrix, **options)
