"""From a run and its data to what attacks find out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bigmodel.analysis.examples import example_losses
from bigmodel.analysis.membership.attack import attack, largest_advantage, roc_curve
from bigmodel.analysis.membership.report import Report
from bigmodel.analysis.membership.sampling import sampled, training_batches
from bigmodel.experiment import Experiment, InputError
from bigmodel.figures.canvas import picture, png
from bigmodel.figures.roc import draw_roc
from bigmodel.inference.measuring import rebuilt
from bigmodel.inference.trained import Trained, load_run
from bigmodel.pages.page import Drawing
from bigmodel.run_directory.manifest import examples_of


def attack_run(
    run: Trained,
    experiment: Experiment,
    split: str,
    *,
    references: Sequence[str],
    examples: int,
    seed: int,
) -> tuple[Report, Drawing]:
    """Attacks a run by the losses of its training examples and of others.

    Args:
        run: the run.
        experiment: it, with its own data.
        split: the held-out examples.
        references: other runs of the kind, that say how hard an example is.
        examples: of each kind, at most.
        seed: decides which examples, and what is drawn for intervals.

    Raises:
        InputError: nothing is measured of an example, there are too few, or a reference cannot be
            used.
    """
    rng = np.random.default_rng(seed)
    sources = training_batches(experiment, run.config.seed), experiment.data.splits[split]
    batches = [list(sampled(source, examples, rng)) for source in sources]
    own = [example_losses(run, experiment, some) for some in batches]
    if (fewest := min(map(len, own))) < 2:
        raise InputError(
            f"--membership: {fewest} of the training or the {split} examples are attacked, and a "
            "threshold needs 2 of each; choose more --examples or another --split"
        )
    scores = {"loss threshold": [-losses for losses in own]}
    if references:
        others = [load_run(path) for path in references]
        for path, other in zip(references, others, strict=True):
            digests = {examples_of(each.recorded.manifest) for each in (run, other)}
            if len(digests) == 1 and digests != {None}:
                raise InputError(
                    f"--reference {path} has learned from the same examples, and so cannot say how "
                    "hard one is; give a run with another --data.split-seed"
                )
        made = [(other, rebuilt(other)) for other in others]
        hard = [np.mean([example_losses(*one, some) for one in made], axis=0) for some in batches]
        scores["calibrated loss"] = [a - b for a, b in zip(hard, own, strict=True)]
    report = Report(
        str(run.path),
        run.step,
        split,
        (own[0], own[1]),
        [attack(name, *both, rng=rng) for name, both in scores.items()],
        tuple(references),
        bound_of(run.summary),
        seed,
    )
    figure = draw_roc(
        {name: roc_curve(*both) for name, both in scores.items()}, least=1 / len(own[1])
    )
    caption = "How many members are found over how many others are taken for members; the dashed "
    caption += "line is a guess."
    return report, Drawing("roc", caption, png(figure), picture(figure))


def bound_of(summary: Mapping[str, Any]) -> float | None:
    """The largest advantage by what a run has spent in the end; None where it was not private.

    ``privacy`` in its summary has ``epsilon`` and ``delta``, which hold for earlier steps too.
    """
    spent = summary.get("privacy")
    return None if spent is None else largest_advantage(spent["epsilon"], spent["delta"])
