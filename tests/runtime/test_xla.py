import os
import re
from pathlib import Path

import jax
import pytest
from jax._src.lru_cache import LRUCache

from bigmodel.runtime.xla import (
    MatmulPrecision,
    bound,
    use_compilation_cache,
    use_precision,
    with_precision,
    write_programs_whole,
)


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


def test_a_program_has_its_name_once_it_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_programs_whole()
    cache = LRUCache(str(tmp_path), max_size=-1)
    kind = type(cache.path)
    write = kind.write_bytes

    def cut(path: Path, value: bytes) -> int:
        write(path, value[:2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(kind, "write_bytes", cut)
        with pytest.raises(OSError, match="No space"):
            cache.put("key", b"program")
    assert cache.get("key") is None
    cache.put("key", b"program")
    cache.put("key", b"another")
    assert cache.get("key") == b"program"
    assert len([*tmp_path.iterdir()]) == 1


def test_a_cache_that_jax_bounds_goes_on_to_forget(tmp_path: Path) -> None:
    pytest.importorskip("filelock")
    write_programs_whole()
    cache = LRUCache(str(tmp_path), max_size=10)
    for key in ("first", "second"):
        cache.put(key, b"program")
    assert [cache.get(key) for key in ("first", "second")] == [None, b"program"]


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
