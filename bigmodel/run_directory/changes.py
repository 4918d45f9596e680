"""Differences between the manifests of two runs, and their effect on the bits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from bigmodel.output import warn

Effect: TypeAlias = Literal["none", "rounding", "another run"]
"""Effect on the bits of a run. Training can amplify rounding differences."""
SEVERITY: tuple[Effect, ...] = ("none", "rounding", "another run")

_DEVICES = re.compile(r"--xla_force_host_platform_device_count=\d+")
_RANDOM = "jax_threefry_partitionable"


class Change(NamedTuple):
    """A difference in what two runs were made with, described in words."""

    what: str
    before: str
    now: str
    effect: Effect

    def __str__(self) -> str:
        return f"{self.what}: {self.before} there, {self.now} here"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What differs between two manifests; what only one of them records is ignored.

    The code is that of bigmodel and of the script; a commit may change others.
    """
    return [*_code(before, now), *_packages(before, now), *_machine(before, now)]


def changes_on_the_way(manifest: Mapping[str, Any]) -> list[Change]:
    """Changes between the first start of a run and its resumed starts, each listed once."""
    counts: dict[str, tuple[str, Effect]] = {
        "device_count": ("the number of devices", "rounding"),
        "process_count": ("the number of processes", "rounding"),
    }
    found: dict[Change, None] = {}
    for start in manifest.get("starts", ()):
        if start.get("step", 0) > 0:
            both = [*changes(manifest, start), *_differing(manifest, start, counts)]
            found |= dict.fromkeys(both)
    return list(found)


def warn_of_changes(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Says what is not as it was when the run in a directory began that is resumed now."""
    changed = [change.what for change in changes(before, now) if change.effect != "none"]
    if changed:
        warn(
            f"since the run in {path} began, {' and '.join(changed)} changed, so its bits may "
            "differ from those of a new run; choose another --run.dir for one"
        )


def describe_code(manifest: Mapping[str, Any]) -> str:
    """The code of a manifest in words: ``commit 1a2b3c4 with changes, code 5d6e7f8a``."""
    git = manifest.get("git")
    words = "no commit"
    if git is not None:
        extra = " with changes" if git["diff"] or git["untracked"] else ""
        words = f"commit {git['commit'][:10]}{extra}"
    return words + (f", code {manifest['code']}" if manifest.get("code") else "")


def flags(text: str) -> str:
    """XLA's flags in the order of their names, without the number of virtual devices."""
    return " ".join(sorted(_DEVICES.sub("", text).split()))


def _code(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    name = "code" if before.get("code") and now.get("code") else "git"
    same = name not in before or name not in now or before[name] == now[name]
    was, now_is = describe_code(before), describe_code(now)
    if not same:
        yield Change("the code", was, now_is, "another run")
    elif "git" in before and "git" in now and before["git"] != now["git"]:
        yield Change("the commit, with the same code", was, now_is, "none")
    there, here = before.get("data_fingerprint"), now.get("data_fingerprint")
    if there and here and there != here:
        was, now_is = (f"sha256 {digest[:12]}" for digest in (there, here))
        yield Change("the data", was, now_is, "another run")


def _packages(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    there, here = before.get("packages", {}), now.get("packages", {})
    for name in there:
        if name in here and there[name] != here[name]:
            was, now_is = there[name] or "absent", here[name] or "absent"
            yield Change(f"the package {name}", was, now_is, "rounding")
    yield from _differing(before, now, {"python": ("Python", "rounding")})


def _machine(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    facts: dict[str, tuple[str, Effect]] = {
        "platform": ("the system", "none"),
        "processor": ("the processor", "rounding"),
        "device_kind": ("the device", "rounding"),
        "cores": ("the number of cores", "rounding"),
    }
    yield from _differing(before, now, facts)
    if "xla_flags" in before and "xla_flags" in now:
        was, now_is = flags(before["xla_flags"]), flags(now["xla_flags"])
        if was != now_is:
            yield Change("XLA's flags", was or "none", now_is or "none", "rounding")
    there, here = before.get("accelerator", {}), now.get("accelerator", {})
    for name in [name for name in there if name in here and there[name] != here[name]]:
        yield Change(name, there[name] or "unset", here[name] or "unset", "rounding")
    there, here = before.get("jax_flags"), now.get("jax_flags")
    if there is None or here is None:
        return
    for name in sorted({*there, *here}):
        was, now_is = there.get(name, "unset"), here.get(name, "unset")
        if was != now_is:
            effect: Effect = "another run" if name == _RANDOM else "rounding"
            yield Change(f"JAX's flag {name}", was, now_is, effect)


def _differing(
    before: Mapping[str, Any], now: Mapping[str, Any], names: Mapping[str, tuple[str, Effect]]
) -> Iterator[Change]:
    for name, (what, effect) in names.items():
        if name in before and name in now and before[name] != now[name]:
            yield Change(what, str(before[name]), str(now[name]), effect)
