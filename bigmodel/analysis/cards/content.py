"""The text of a model card.

Mitchell et al. (2019), "Model cards for model reporting".
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel.analysis.estimates import Estimate
from bigmodel.analysis.examples import is_real
from bigmodel.config import flat, to_json
from bigmodel.errors import StorageError
from bigmodel.experiment import Data
from bigmodel.inference.trained import Trained
from bigmodel.run_directory.changes import describe_code
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.run_directory.manifest import examples_of

GAP = "**TO FILL IN**"
HELD_OUT = ("test", "validation")


def model_card(run: Trained, data: Data | None, split: str, metrics: Mapping[str, Estimate]) -> str:
    """The card of a run in Markdown.

    Args:
        run: the run.
        data: its data, where they are still there.
        split: the one that is measured.
        metrics: with intervals, where the data are there; else those of the run's end are shown.

    Raises:
        StorageError: an evaluation or an audit in the run directory is damaged.
    """
    return "\n".join(_lines(run, data, split, metrics)) + "\n"


def _lines(
    run: Trained, data: Data | None, split: str, metrics: Mapping[str, Estimate]
) -> Iterator[str]:
    yield from ("---", "license:  # to fill in", "library_name: bigmodel", "---", "")
    yield from (f"# {run.path.resolve().name}", "")
    title = (run.script.__doc__ or "").strip().partition("\n")[0]
    yield from (title, "", f"In a sentence, for whoever finds it: {GAP}", "")
    yield from _section("Model", _model(run))
    yield from ("## Intended use", "", f"- For what, and by whom: {GAP}")
    yield from (f"- For what not: {GAP}", "")
    yield from _section("Data", _data(run, data))
    yield from (f"Who collected them, how, and whether whom they are about agreed: {GAP}", "")
    yield from _section("Training", _training(run))
    yield from ("## Metrics", "")
    yield from _metrics(run, split, metrics)
    yield from _found(run.path)
    yield from ("## Limits", "")
    yield from (f"- {limit}" for limit in limits(run, data, split))
    yield from (f"- What else is known: {GAP}", "", "## Licence", "", GAP, "")
    yield from ("## Contact", "", GAP)


def _section(title: str, facts: Mapping[str, str]) -> Iterator[str]:
    yield from (f"## {title}", "", "| | |", "|---|---|")
    yield from (f"| {name} | {cell(text)} |" for name, text in facts.items() if text)
    yield ""


def cell(text: str) -> str:
    """A text as a cell of a table in Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def _model(run: Trained) -> dict[str, str]:
    manifest, summary = run.recorded.manifest, run.summary
    parameters = summary.get("parameters")
    return {
        "experiment": Path(manifest["script"]).name,
        "input": run.predictor.inputs,
        "answer": run.predictor.outputs,
        "parameters": f"{parameters:,}" if parameters else "",
        "checkpoint": f"step {run.step}",
        "status of the run": str(summary.get("status", "not ended")),
        "sha256 of the parameters": f"{summary.get('params_digest', '')[:16]}",
    }


def _data(run: Trained, data: Data | None) -> dict[str, str]:
    options = run.recorded.config.get("data", {})
    found = {
        "name": str(options.get("name", "")),
        "path": Path(options.get("path") or "").name,
        "test path": Path(options.get("test_path") or "").name,
        "sha256": str(examples_of(run.recorded.manifest) or "")[:16],
    }
    if data is not None:
        if data.seen:
            found["training examples"] = f"{_count(data.seen):,}"
        for name, batches in data.splits.items():
            found[f"{name} examples"] = f"{_count(batches):,}"
    folds = ("folds", "fold") if options.get("folds") else ("test",)
    chosen = (*folds, "validation", "split_seed")
    divided = {n: options[n] for n in chosen if options.get(n) is not None}
    found["divided by"] = ", ".join(
        f"`--data.{n.replace('_', '-')} {v}`" for n, v in divided.items()
    )
    return found


def _count(batches: Any) -> int:
    """The number of examples; only the last batch has padding."""
    last = batches[len(batches) - 1]
    return (len(batches) - 1) * len(np.asarray(last["weight"])) + int(is_real(last).sum())


def _training(run: Trained) -> dict[str, str]:
    manifest, summary, config = run.recorded.manifest, run.summary, run.recorded.config
    default = flat(to_json(run.script.Config()))
    changed = {name: value for name, value in flat(config).items() if default.get(name) != value}
    changed.pop("run.dir", None)
    versions = manifest.get("packages", {})
    began = config.get("init", {}).get("from", "")
    teacher = config.get("teacher", {}).get("run", "")
    return {
        "options that are not the script's own": ", ".join(
            f"`{name} {json.dumps(value)}`" for name, value in changed.items()
        )
        or "none",
        "seed": str(config.get("seed", "")),
        "seconds": f"{summary['seconds']:.0f}" if "seconds" in summary else "",
        "device": f"{manifest.get('device_count')} x {manifest.get('device_kind')}",
        "code": describe_code(manifest),
        "packages": ", ".join(f"{n} {v}" for n, v in versions.items() if v),
        "began with": str(began),
        "teacher": str(teacher),
    }


def _metrics(run: Trained, split: str, metrics: Mapping[str, Estimate]) -> Iterator[str]:
    if metrics:
        count = next(iter(metrics.values())).examples
        yield f"Of the {count:,} examples of the split {split}, at step {run.step}. Intervals are"
        yield "percentiles of bootstrap samples of these examples: they say how much another sample"
        yield "from the same source might differ, and nothing of other sources or other seeds."
        yield from ("", "| metric | value | 95 % interval |", "|---|---:|---:|")
        for name, one in metrics.items():
            low, high = number(one.low), number(one.high)
            yield f"| {split}/{name} | {number(one.value)} | {low} to {high} |"
    else:
        yield "As the run measured them at its end, without intervals, for its data were not there"
        yield from ("when this card was made.", "", "| metric | value |", "|---|---:|")
        for name, value in run.summary.items():
            if name.startswith(HELD_OUT) and "/" in name:
                yield f"| {name} | {number(value)} |"
    yield ""


def number(value: float | None) -> str:
    """A metric with four significant digits."""
    return "not finite" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _found(path: Path) -> Iterator[str]:
    """What evaluations on other data and audits have found, which lie in the run directory."""
    evaluations = [(file, read) for file, read in _read(path, "evaluations/*/metrics.json")]
    if evaluations:
        yield from ("## Other data", "", "| data | metrics |", "|---|---|")
        for file, one in evaluations:
            with _of(file):
                values = (f"{name} {number(value)}" for name, value in one["metrics"].items())
                line = f"| {cell(' '.join(one['options']) or 'its own')} | {', '.join(values)} |"
            yield line
        yield ""
    audits = [(file, read) for file, read in _read(path, "audits/*/audit.json")]
    if audits:
        yield from ("## Audits", "")
        for file, one in audits:
            with _of(file):
                said = _groups(one) if "groups" in one else _membership(one)
                page = file.with_name("audit.html").relative_to(path).as_posix()
                line = f"- step {one['step']}, {said} ([{page}]({page}))"
            yield line
        yield ""


def _read(path: Path, pattern: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The JSON files of a run, none of which may be damaged."""
    for file in sorted(path.glob(pattern)):
        yield file, RunDirectory(path).read_json(str(file.relative_to(path))) or {}


@contextlib.contextmanager
def _of(file: Path) -> Iterator[None]:
    """Turns what a file lacks, or has of another kind, into a StorageError that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"cannot read {file}: {error!r}") from None


def _groups(audit: Mapping[str, Any]) -> str:
    named = {**audit["criteria"], **audit["differences"]}
    chosen = [*audit["criteria"], "accuracy", "mean_prediction", "mae"]
    differences = {n.replace("_", " "): named[n]["difference"] for n in chosen if n in named}
    values = [f"{name} {number(value)}" for name, value in differences.items()]
    small = [n for n, g in audit["groups"].items() if g["examples"] < audit["smallest"]]
    told = f"{len(audit['groups'])} groups by {cell(audit['by'])}: differences in "
    told += ", ".join(values) or "nothing, for no two groups are large enough"
    return told + (f"; too small to say: {', '.join(map(cell, small))}" if small else "")


def _membership(audit: Mapping[str, Any]) -> str:
    told = []
    for name, one in audit["attacks"].items():
        of = one["advantage"]
        told.append(
            f"{name}: advantage {number(of['value'])} ({number(of['low'])} to {number(of['high'])})"
        )
    return f"membership inference by {'; by '.join(told)}"


def limits(run: Trained, data: Data | None, split: str) -> Iterator[str]:
    """What follows from what is recorded."""
    audits = [one for _, one in _read(run.path, "audits/*/audit.json")]
    if data is not None and split in data.splits:
        count = _count(data.splits[split])
        yield f"It was measured on {count:,} examples from the source of its training data."
    if not list(run.path.glob("evaluations/*/metrics.json")):
        yield "It was not evaluated on data from another source (`evaluate`)."
    if not any("groups" in one for one in audits):
        yield "Whether it serves groups equally well was not audited (`audit --by`)."
    if not any("attacks" in one for one in audits):
        yield "Whether it gives away what it was trained on was not tried (`audit --membership`)."
    yield "It is one run with one seed; others may be better or worse than its intervals say."
