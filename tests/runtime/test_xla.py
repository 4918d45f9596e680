import importlib.util
import os
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from bigmodel.runtime.xla import (
    MatmulPrecision,
    bound,
    make_deterministic,
    use_compilation_cache,
    use_precision,
    with_precision,
)

FLAG = "--xla_gpu_deterministic_ops=true"


@pytest.fixture
def plugin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX's plugin for CUDA is installed, or not."""
    found = importlib.util.find_spec

    def find(name: str, *rest: str | None) -> object:
        if name.startswith("jax_cuda"):
            return object() if request.param and name == "jax_cuda12_plugin" else None
        return found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.parametrize(
    ("plugin", "platforms", "before", "after"),
    [
        (True, None, "", FLAG),
        (True, "cuda,cpu", "--xla_cpu_a=1", f"--xla_cpu_a=1 {FLAG}"),
        (True, None, "--xla_gpu_deterministic_ops=false", "--xla_gpu_deterministic_ops=false"),
        (True, "cpu", "", ""),
        (False, None, "", ""),
    ],
    indirect=["plugin"],
)
@pytest.mark.usefixtures("plugin")
def test_the_flag_is_set_where_jax_will_use_cuda(
    platforms: str | None, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "config", SimpleNamespace(jax_platforms=platforms))
    monkeypatch.setenv("XLA_FLAGS", before)
    make_deterministic()
    assert os.environ["XLA_FLAGS"] == after


def test_the_programs_that_were_used_least_recently_go(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "used", "old", "oldest")):
        path = tmp_path / name
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - (0 if name == "used" else age), 1e9 - 100 * age))
    bound(tmp_path, 250)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "used"}
    bound(tmp_path / "nowhere", 0)


def test_a_user_without_a_home_keeps_no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    before = jax.config.jax_compilation_cache_dir
    for name in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


@pytest.mark.parametrize(
    ("precision", "found"),
    [("default", set()), ("highest", {"HIGHEST"}), ("tensorfloat32", {"HIGH"})],
)
def test_products_and_their_gradients_have_the_precision_asked_for_whatever_the_process_has(
    precision: MatmulPrecision, found: set[str]
) -> None:
    use_precision("tensorfloat32" if precision == "default" else "default")
    try:
        square = with_precision(jax.grad(lambda x: (x @ x).sum()), precision)
        jaxpr = jax.make_jaxpr(square)(jax.ShapeDtypeStruct((2, 2), jax.numpy.float32))
    finally:
        use_precision("default")
    assert set(re.findall(r"HIGH\w*", str(jaxpr))) == found
