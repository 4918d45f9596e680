"""How a process on a CPU is set up; each is one of its own, for it cannot be undone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
STEP = """
import hashlib, resource, statistics, sys
import jax, jax.numpy as jnp, numpy as np
from bigmodel.processes.cpu import start_cpu

if sys.argv[1] == "kept":
    start_cpu()
loss = lambda w, x: jnp.sum(jnp.tanh(jnp.sin(x) @ w))
step = jax.jit(lambda w, x: (w - 1e-3 * jax.grad(loss)(w, x), jnp.cos(x)))
x = np.linspace(-1, 1, 3 << 22, dtype=np.float32).reshape(-1, 256)
w = np.linspace(-1, 1, 1 << 16, dtype=np.float32).reshape(256, 256)
faults = []
for _ in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    w, x = jax.block_until_ready(step(w, x))
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(int(statistics.median(faults[3:])))
print(hashlib.sha256(np.asarray(w).tobytes()).hexdigest())
"""


def printed(code: str, *words: str, **environment: str) -> list[str]:
    """What a program prints that has one CPU device."""
    settings = {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc's allocator")
def test_steps_get_no_new_pages_for_buffers_of_any_size_and_the_same_bits() -> None:
    faults, digest = printed(STEP, "plain")
    fewer, same = printed(STEP, "kept")
    assert same == digest
    # Each of the buffers has 48 MiB, together they are more than an arena of a thread holds.
    assert int(faults) > 10_000
    assert int(fewer) < 1_000
    # What the user says of the allocator counts.
    assert int(printed(STEP, "kept", MALLOC_MMAP_THRESHOLD_="131072")[0]) > 10_000
