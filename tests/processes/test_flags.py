"""The flags of accelerators, none of which is here; the programs that read them know them all."""

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest

from bigmodel.processes.flags import (
    DETERMINISTIC,
    FAST,
    MEMORY,
    TPU_FLAGS,
    XLA_FLAGS,
    Flag,
    set_flags,
)

ALL = (DETERMINISTIC, *FAST)


def words(variable: str, *flags: Flag) -> str:
    """The flags of a variable as it holds them."""
    return " ".join(f"--{one.name}={one.value}" for one in flags if one.variable == variable)


@pytest.fixture
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX's plugin of a platform is installed, and no other."""
    found = importlib.util.find_spec

    def find(name: str, *rest: str | None) -> object:
        if name.startswith("jax_cuda") or name == "libtpu":
            return object() if name == request.param else None
        return found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.parametrize(
    ("installed", "platforms", "options", "gpu", "tpu", "memory"),
    [
        ("jax_cuda12_plugin", None, {}, words(XLA_FLAGS, *ALL), "", "0.9"),
        ("jax_cuda13_plugin", "cuda,cpu", {"fast": False}, words(XLA_FLAGS, ALL[0]), "", ""),
        ("jax_cuda12_plugin", None, {"deterministic": False}, words(XLA_FLAGS, *FAST), "", "0.9"),
        ("jax_cuda12_plugin", "cpu", {}, "", "", ""),
        ("libtpu", None, {}, "", words(TPU_FLAGS, *ALL), ""),
        ("libtpu", "tpu,cpu", {"fast": False}, "", "", ""),
        ("neither", None, {}, "", "", ""),
    ],
    indirect=["installed"],
)
@pytest.mark.usefixtures("installed")
def test_flags_are_set_where_jax_will_use_the_accelerator_unless_an_option_says_no(
    platforms: str | None,
    options: dict[str, bool],
    gpu: str,
    tpu: str,
    memory: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jax, "config", SimpleNamespace(jax_platforms=platforms))
    for name in (XLA_FLAGS, TPU_FLAGS, MEMORY):
        monkeypatch.setenv(name, "")
    set_flags(**options)
    assert [os.environ[name] for name in (XLA_FLAGS, TPU_FLAGS, MEMORY)] == [gpu, tpu, memory]


@pytest.mark.parametrize("installed", ["jax_cuda12_plugin"], indirect=True)
@pytest.mark.usefixtures("installed")
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    own = "--xla_gpu_deterministic_ops=false --xla_cpu_a=1"
    monkeypatch.setattr(jax, "config", SimpleNamespace(jax_platforms=None))
    monkeypatch.setenv(XLA_FLAGS, own)
    monkeypatch.setenv(MEMORY, "0.5")
    set_flags()
    assert os.environ[XLA_FLAGS] == f"{own} {words(XLA_FLAGS, *FAST)}"
    assert os.environ[MEMORY] == "0.5"


def starts(code: str, **environment: str) -> bool:
    """Whether a program starts with these variables."""
    command = [sys.executable, "-c", code]
    everything = {**os.environ, **environment}
    return not subprocess.run(command, env=everything, check=False, capture_output=True).returncode


def test_jaxlib_knows_the_flags_of_gpus() -> None:
    """Those of GPUs are read on CPU too, and an unknown one ends the process."""
    code = "import jax; jax.devices()"
    assert starts(code, XLA_FLAGS=words(XLA_FLAGS, *ALL))
    assert not starts(code, XLA_FLAGS="--xla_gpu_enable_latency_showing_scheduler=true")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="no libtpu")
def test_libtpu_knows_the_flags_of_tpus_and_their_values() -> None:
    code = (
        "from bigmodel.planning.target import devices_of, prepare, target\n"
        "found = target(topology='v5e:2x2', devices=None, chip=None)\n"
        "prepare(found)\n"
        "assert len(devices_of(found)) == 4"
    )
    assert starts(code, LIBTPU_INIT_ARGS=words(TPU_FLAGS, *ALL))
    assert not starts(code, LIBTPU_INIT_ARGS="--xla_tpu_enable_async_all_to_all=perhaps")
