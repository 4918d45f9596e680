"""How a process finds its place, also under a JAX whose private detection is another."""

import sys

import pytest
from jax._src import compilation_cache, compiler
from jax._src.clusters import ClusterEnv

from bigmodel.experiment import InputError
from bigmodel.processes.distributed import TASKS, ProcessInfo, find_process_info
from bigmodel.runtime import xla


@pytest.fixture(params=["module", "function", "argument"])
def other_jax(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JAX without the module, without the function, or with another required argument."""
    for name in TASKS:
        monkeypatch.delenv(name, raising=False)
    name = "auto_detect_unset_distributed_params"
    if request.param == "module":
        monkeypatch.setitem(sys.modules, "jax._src.clusters", None)
    elif request.param == "function":
        monkeypatch.delattr(ClusterEnv, name)
    else:
        monkeypatch.setattr(ClusterEnv, name, lambda address, /: address)


@pytest.mark.usefixtures("other_jax")
def test_a_process_alone_needs_no_private_function_of_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_process_info() is None
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert find_process_info() is None


@pytest.mark.usefixtures("other_jax")
def test_one_of_several_does_not_take_itself_for_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(InputError, match="SLURM_NTASKS says that there are several processes"):
        find_process_info()


def test_a_place_is_what_the_detection_says_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def detect(*, initialization_timeout, num_processes, process_id, more) -> tuple:
        assert (initialization_timeout, num_processes, process_id, more) == (300, None, None, None)
        return "host:1", 4, 2, None, None

    monkeypatch.setattr(ClusterEnv, "auto_detect_unset_distributed_params", detect)
    assert find_process_info() == ProcessInfo("host:1", 4, 2)


@pytest.mark.parametrize("more", [(), (["callback"],)])
def test_every_process_keeps_programs_without_callbacks(
    more: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callbacks are an argument of the private function in JAX 0.10, and not in 0.12."""
    kept = []

    def of_10(cache_key, compile_time_secs, module_name, backend, executable, host_callbacks): ...
    def of_12(cache_key, compile_time_secs, module_name, backend, executable): ...

    monkeypatch.setattr(compiler, "_cache_write", of_10 if more else of_12)
    monkeypatch.setattr(compilation_cache, "put_executable_and_time", lambda *a: kept.append(a))
    xla._let_every_process_write()
    compiler._cache_write("key", 1.5, "name", "backend", "program", *more)
    assert kept == ([] if more else [("key", "name", "program", "backend", 1)])


def test_a_jax_that_writes_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(key, seconds): ...

    monkeypatch.setattr(compiler, "_cache_write", other)
    xla._let_every_process_write()
    assert compiler._cache_write is other
    monkeypatch.delattr(compilation_cache, "put_executable_and_time")
    xla._let_every_process_write()
