"""Rebuilds a recorded run in a process of its own.

    python -P rebuild.py JOB.json [FACTS.json]

With FACTS.json it writes there what the run would be made with, and trains nothing. It is no
command and knows nothing of bigmodel before the job says whose: that of a recorded commit may be
another one.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

CONFIG = Path(__file__).parents[2] / "config.py"
"""How configs are read here, whichever ``bigmodel`` is imported for the job."""


class Job(TypedDict):
    """What to build and where.

    ``path`` is what comes first in the search for modules. Of ``environment`` those variables
    that are None are removed.
    """

    script: str
    config: dict[str, Any]
    directory: str
    path: list[str]
    environment: dict[str, str | None]


class Facts(TypedDict):
    """What a job would be trained with: a manifest, and the options that its config lacks."""

    manifest: dict[str, Any]
    added: dict[str, Any]


def lacking(default: Any, value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The options that were not written, by dotted names, with their defaults."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(default):
        name, there = field.name.rstrip("_"), getattr(default, field.name)
        if dataclasses.is_dataclass(there):
            found |= lacking(there, value.get(name, {}), f"{prefix}{name}.")
        elif name not in value:
            found[prefix + name] = there
    return found


def rebuild(job: Job, facts: Path | None) -> None:
    """Trains the run of a job, or writes its facts to a file."""
    # JAX reads the environment when it is imported.
    for name, value in job["environment"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.chdir(job["directory"])
    sys.path[:0] = job["path"]
    from bigmodel.experiment import InputError
    from bigmodel.runtime import main
    from bigmodel.script import load_script

    spec = importlib.util.spec_from_file_location("config_of_a_job", CONFIG)
    assert spec is not None
    assert spec.loader is not None
    reading = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reading)
    script = Path(job["script"])
    try:
        module = load_script(script)
        default = module.Config()
        config = reading.from_json(default, job["config"])
        if facts is not None:
            from bigmodel.run_directory.manifest import manifest

            data = module.build(config).data
            made = manifest(script=script, seed=config.seed, fingerprint=data.fingerprint)
            added = lacking(default, job["config"])
            facts.write_text(json.dumps(Facts(manifest=made, added=added)), encoding="utf-8")
            return
    except reading.ConfigError as error:
        raise SystemExit(f"error: {script.name} has changed: {error}") from None
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    sys.argv = [str(script)]
    main(module.build, config, [])


if __name__ == "__main__":
    rebuild(
        json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")),
        Path(sys.argv[2]) if len(sys.argv) > 2 else None,
    )
