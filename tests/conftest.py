"""Strict JAX, eight virtual devices and a shared compilation cache for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time of tests is XLA's: less of it for code that runs a few times, and one thread for
# each program where two workers share two cores.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1"
)
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".cache" / "xla")
)

import jax
import pytest
from jaxtyping import install_import_hook

from bigmodel.runtime.xla import write_programs_whole

# The rooms whose functions take arrays of JAX: their calls check types and shapes.
install_import_hook(["bigmodel.models", "bigmodel.training"], "signatures.check")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
write_programs_whole()


@pytest.fixture(scope="session", autouse=True)
def no_drawing() -> dict[str, Any]:
    """Leaves out the figures of runs of this process; they would take half of its time."""
    from bigmodel.runtime.recorder import open_run

    defaults = open_run.__kwdefaults__
    assert defaults is not None
    defaults["drawing"] = False
    return defaults


@pytest.fixture
def drawing(no_drawing: dict[str, Any]) -> Iterator[None]:
    """Lets runs draw their figures, as they do for users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(no_drawing, "drawing", True)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with what takes long, so that no worker is left with it at the end."""

    def takes_short(item: pytest.Item) -> bool:
        return not any(item.get_closest_marker(name) for name in ("slow", "xdist_group"))

    items.sort(key=takes_short)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew from the code"
    )
