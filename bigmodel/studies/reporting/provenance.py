"""What the runs of a study were made with, and whether it was the same for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bigmodel.run_directory.changes import describe_code, flags
from bigmodel.run_directory.directory import MANIFEST, RunDirectory
from bigmodel.studies.results import ENDED, Result

NAMES = {
    "processes": "process_count",
    "cores": "cores",
    "processor": "processor",
    "system": "platform",
    "Python": "python",
}
"""Facts that stand in a manifest as they are, by what a report calls them."""


class Fact(NamedTuple):
    """What the manifests say under one name: each value and how many runs have it."""

    name: str
    values: tuple[tuple[str, int], ...]

    @property
    def shared(self) -> bool:
        """Whether all runs have the same."""
        return len(self.values) == 1


def facts(results: Iterable[Result]) -> list[Fact]:
    """What was recorded of the runs that have ended, most frequent value first."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        if result.state in ENDED:
            manifest = RunDirectory(result.directory).read_json(MANIFEST)
            for name, value in _facts_of(manifest or {}):
                counts.setdefault(name, Counter())[value] += 1
    return [Fact(name, tuple(found.most_common())) for name, found in counts.items()]


def _facts_of(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not manifest:
        yield "manifest", "none"
        return
    yield "code", describe_code(manifest)
    starts = manifest.get("starts") or [manifest]
    devices = [f"{one.get('device_count')} x {one.get('device_kind')}" for one in starts]
    yield "device", " then ".join(dict.fromkeys(devices))
    for name, key in NAMES.items():
        if key in manifest:
            yield name, str(manifest[key])
    for package, version in (manifest.get("packages") or {}).items():
        if version is not None:
            yield package, version
    yield "XLA's flags", flags(manifest.get("xla_flags", "")) or "none"
    own = manifest.get("jax_flags") or {}
    yield "JAX's flags", " ".join(f"{name}={value}" for name, value in own.items()) or "none"
    yield "data", f"sha256 {str(manifest.get('data_fingerprint'))[:12]}"
