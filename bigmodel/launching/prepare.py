"""Makes the data of an experiment ready, and trains nothing.

    python launch.py prepare experiments/gpt.py -- --data.path SHARDS --data.cache CACHE

What is dear to make of data, such as the tokens of a large text, is kept in --data.cache, by
default in the user's cache, where the run with the same options finds it. No accelerator is used: a
login node will do.
"""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Sequence

from bigmodel.errors import DONE
from bigmodel.script import add_script, check_script, load_script


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_script(parser)


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Builds the experiment, and with it its data; raises InputError for wrong options."""
    check_script(parsed.script)
    # JAX reads its settings when it is imported.
    os.environ["JAX_PLATFORMS"] = "cpu"
    from bigmodel.config import with_values
    from bigmodel.runtime.command_line import parse
    from bigmodel.runtime.cross_validation import has_folds
    from bigmodel.tracking.progress import say

    module = load_script(parsed.script)
    described = inspect.getdoc(module) or parsed.script.stem
    config = parse(module.Config(), options, description=described)
    if has_folds(config):
        config = with_values(config, {"data.fold": 0})
    if hasattr(config.data, "prepare"):
        config.data.prepare()
    data = module.build(config).data
    batches = {"an epoch": data.steps_per_epoch}
    batches |= {name: len(split) for name, split in data.splits.items()}
    counts = ", ".join(f"{count} in {name}" for name, count in batches.items())
    say(f"the data is ready; batches of {data.batch_size}: {counts}")
    return DONE
