"""Shows what of an input a trained run's answer is due to: pictures, and a page.

    python launch.py explain runs/cnn-5e16c17c a.png b.png
    python launch.py explain runs/cnn-5e16c17c a.png --method grad_cam --class 7 --out why
    python launch.py explain runs/bert_classify-1d2c3b4a "A text." --method occlusion
    python launch.py explain runs/mlp-0b1c2d3e rows.csv --check

A class, a token that follows or fills a mask, a label of a word, or a number is explained: by
default what is predicted. Methods are gradients, smoothgrad, integrated_gradients, grad_cam (of
networks with convolutions), rollout (with self-attention) and occlusion; one that a run does not
support is refused, and those it supports are named. Inputs are given as for predict. --out gets
explanation.html, which needs no other file, and a PNG for each input. --check also prints whether
the explanations are better than random orders of the input's parts, and whether they change when
the weights are randomised.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.files import PARTIAL, made_folder
from bigmodel.inference.predict import ASKED, add_run, positive, seed
from bigmodel.output import warn
from bigmodel.protection.secrets import add_passphrase

if TYPE_CHECKING:
    from bigmodel.analysis.explanations.quality import Quality
    from bigmodel.inference.explanation.explaining import How
    from bigmodel.inference.value import Value

PAGE = "explanation.html"
OURS = re.compile(rf"{re.escape(PAGE)}|curves\.png|\d+\.png")
"""The files of an earlier explanation, which a new one replaces."""
SHOWN = 50
"""Inputs on a page; all have their picture."""
MOST_ALIKE = 0.5
"""Rank correlation with explanations of random weights from which on a warning is printed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_run(parser, ASKED)
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="default: lines of standard input")
    add("--method", default="integrated_gradients", help="default: integrated_gradients")
    add("--class", dest="label", metavar="NAME", help="class, token or label; default: predicted")
    add("--position", type=int, metavar="N", help="which mask or word, from 1 on; default: first")
    add("--out", type=Path, metavar="DIR", help="default: explanations/RUN-METHOD")
    add("--check", action="store_true", help="also print what the explanations are worth")
    add("--cut", action="store_true", help="read the beginning of texts that are too long")
    text = "number that stands for nothing; default: 0, of sounds -2, of clips 0.5"
    add("--baseline", type=float, help=text)
    add("--steps", type=int, default=50, help="integrated gradients: nodes; default: 50")
    add("--samples", type=int, default=32, help="smoothgrad: noisy inputs; default: 32")
    add("--noise", type=float, default=0.15, help="smoothgrad: share of the range; default: 0.15")
    add("--seed", type=seed, default=0, help="of the noise and of random orders; default: 0")
    add("--window", type=positive, help="occlusion: pixels or steps; default: a seventh")
    add("--layer", metavar="PATH", help="grad_cam: default: the last one with a convolution's map")
    add_passphrase(parser)


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Writes pictures and a page, and prints a line for each input.

    Raises:
        InputError: for a run, an input or a method that cannot be used.
        StorageError: for files that cannot be read or written.
    """
    # Imported here, for other commands start without JAX.
    from bigmodel.inference.explanation.explaining import How
    from bigmodel.inference.loading import load

    how = How(**{field.name: getattr(parsed, field.name) for field in dataclasses.fields(How)})
    name = Path(parsed.run).resolve().name
    out = parsed.out or Path("explanations") / f"{name}-{how.method}"
    if out.exists() and not _ours(out):
        raise InputError(f"--out {out} has other files; choose another folder")
    where = {"script": parsed.script, "passphrase_file": parsed.passphrase_file}
    run = load(parsed.run, parsed.at, options=options, **where)
    target = out.resolve()
    made = target.with_name(f".{target.name}{PARTIAL}")
    with made_folder(target.parent), naming(out):
        try:
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            count = _write(run, parsed, how, made)
            if target.exists():
                # It may be a link, or where a shell is, and stays.
                for each in target.iterdir():
                    each.unlink()
                for each in made.iterdir():
                    each.replace(target / each.name)
            else:
                made.replace(target)
        finally:
            # Nothing half-made stays.
            shutil.rmtree(made, ignore_errors=True)
    print(f"{out / PAGE} and {count} picture{'s' if count > 1 else ''}")
    return 0


def _ours(out: Path) -> bool:
    """Whether there is an empty folder, or an earlier explanation, which has a page."""
    if not out.is_dir():
        return False
    names = {each.name for each in out.iterdir()}
    return not names or (PAGE in names and all(map(OURS.fullmatch, names)))


def _write(run: Value, parsed: argparse.Namespace, how: How, folder: Path) -> int:
    """Writes all into a folder, and returns the number of pictures."""
    from bigmodel.analysis.explanations.drawings import draw, quality_section, said, section
    from bigmodel.analysis.explanations.quality import Quality, curves, sanity
    from bigmodel.figures.canvas import png
    from bigmodel.inference.explanation.explaining import explanations
    from bigmodel.inference.predict import read
    from bigmodel.pages.page import page

    parts: list[str] = []
    quality, count = Quality([], []), 0
    inputs = read(run, parsed.inputs, cut=parsed.cut)
    for count, (name, found) in enumerate(explanations(run, inputs, how), start=1):
        print(f"{name}: {said(found)}", flush=True)
        drawn = draw(found)
        (folder / f"{count}.png").write_bytes(png(drawn))
        if count <= SHOWN:
            parts += section(name, found, drawn)
        if parsed.check:
            quality.curves.append(curves(found, run.variables, seed=how.seed))
            quality.alike.append(sanity(found, run.variables, seed=how.seed))
    if quality.curves:
        _print(quality)
        more, pixels = quality_section(quality)
        (folder / "curves.png").write_bytes(pixels)
        parts = [*more, *parts]
    if count > SHOWN:
        parts.append(f"<p>The first {SHOWN} of {count} inputs; the pictures of all are beside.</p>")
    title = f"{Path(parsed.run).resolve().name}: {how.method.replace('_', ' ')}"
    (folder / PAGE).write_text(page(title, parts), encoding="utf-8")
    return count


def _print(quality: Quality) -> None:
    """Prints what the explanations are worth."""
    from bigmodel.tracking.tables import show_table

    deletion, insertion, random = quality.areas()
    fewer, more = quality.better()
    count = len(quality.curves)
    header = ("area under the curve", "explanation", "random order", "better")
    rows = [
        ("deletion", f"{deletion:.4f}", f"{random:.4f}", f"{fewer} of {count}"),
        ("insertion", f"{insertion:.4f}", f"{random:.4f}", f"{more} of {count}"),
    ]
    show_table(header, rows, right=header[1:])
    likeness = quality.likeness()
    columns = ("weights randomised down to", "rank correlation of explanations")
    show_table(columns, [(n or "all", f"{r:.3f}") for n, r in likeness.items()], right=columns[1:])
    last = list(likeness.values())[-1]
    if last > MOST_ALIKE:
        warn(
            f"with all weights randomised the explanations still have a rank correlation of "
            f"{last:.2f} with these: they say little of what was learned"
        )
