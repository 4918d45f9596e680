"""What a run was made with: code, packages, machine, data."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax

import bigmodel
from bigmodel.processes.flags import RECORDED, XLA_FLAGS
from bigmodel.sharding.cores import cores

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "scikit-learn",
    "tokenizers",
)
DIFF = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
"""Whatever the user's own settings are, ``git apply`` takes what is written."""

EXAMPLES = "examples_fingerprint"
"""The entry with the fingerprint of a run's data alone."""


def manifest(
    *,
    script: Path,
    seed: int,
    fingerprint: str,
    maximize: Collection[str] = (),
    devices: int | None = None,
) -> dict[str, Any]:
    """The facts on which the bits of a run depend, as plain JSON values.

    ``code`` is a digest of the script and of bigmodel. ``git`` is null where the script is in no
    repository. ``directory`` is where relative paths begin. ``cores`` are those that this
    process may use. ``maximize`` are the metrics, without their splits, of which more is better.
    The run has ``devices``, by default all that there are.
    """
    return {
        "command": [sys.executable, *sys.argv],
        "script": str(script),
        "directory": str(Path.cwd()),
        "started": time.time(),
        "seed": seed,
        "data_fingerprint": fingerprint,
        "maximize": sorted(maximize),
        "code": identity(script)["code"],
        "git": _git(script.parent),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "device_kind": jax.devices()[0].device_kind,
        "device_count": devices or jax.device_count(),
        "process_count": jax.process_count(),
        "cores": cores(),
        "xla_flags": os.environ.get(XLA_FLAGS, ""),
        "accelerator": {name: os.environ.get(name, "") for name in RECORDED},
        "jax_flags": {
            name: str(value)
            for name in (
                "jax_enable_x64",
                "jax_default_matmul_precision",
                "jax_threefry_partitionable",
            )
            if (value := getattr(jax.config, name)) is not None
        },
    }


def examples_of(manifest: Mapping[str, Any]) -> str | None:
    """The fingerprint of a run's data alone; of what else it learns from too in older ones."""
    found: str | None = manifest.get(EXAMPLES, manifest.get("data_fingerprint"))
    return found


def identity(script: Path) -> dict[str, str | None]:
    """Code and package versions, which must agree between the processes of a run."""
    package = Path(bigmodel.__file__).parent
    code = hashlib.sha256(script.read_bytes())
    for path in sorted(package.rglob("*.py")):
        code.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    versions = {f"packages.{name}": _version(name) for name in ("jax", "jaxlib", "numpy")}
    return {"code": code.hexdigest()[:16], "python": platform.python_version(), **versions}


@functools.cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The model of the processor, on which the compiler's choices depend."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.processor()


def _git(folder: Path) -> dict[str, str] | None:
    commit = _run_git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _run_git(folder, "diff", *DIFF, "HEAD")
    others = ("--others", "--exclude-standard", "--full-name")
    untracked = _run_git(folder, "ls-files", *others, ":/*.py")
    return {"commit": commit.strip(), "diff": diff or "", "untracked": (untracked or "").strip()}


def _run_git(folder: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    # As bytes, since reading text would change the ends of lines, and the diff not apply.
    return done.stdout.decode(errors="replace")
