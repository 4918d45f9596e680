"""How often explanations beat random orders on images of the test split of trained runs.

    python benchmarks/explanations.py runs/cnn runs/vit runs/resnet --images 100

Pixels are taken away in the order of an explanation, the largest number first, and put back in it
(Petsiuk et al., 2018). A deletion is better than a random one where the area under the probability
of the predicted class is smaller than the mean of ten random orders, an insertion where it is
larger. Alike is the mean rank correlation with the explanation of a network whose weights are all
randomised (Adebayo et al., 2018), of the first ten images.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from bigmodel.analysis.explanations.quality import Quality, curves, sanity
from bigmodel.experiment import InputError
from bigmodel.inference.answering import Named
from bigmodel.inference.explanation.explaining import METHODS, How, explanations
from bigmodel.inference.trained import load_run
from bigmodel.tracking.tables import show_table

CHECKED = 10


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="run directories")
    add("--images", type=int, default=100, help="of each test split, from its beginning")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all supported")
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> None:
    """Prints a row for each run and method."""
    rows = []
    for path in options.runs:
        run = load_run(path)
        inputs = run.build().data.inputs["test"]
        named = [Named(inputs[n], str(n)) for n in range(min(options.images, len(inputs)))]
        for method in options.methods:
            started = time.perf_counter()
            quality = Quality([], [])
            try:
                for number, (_, found) in enumerate(explanations(run, named, How(method))):
                    quality.curves.append(curves(found, run.variables, seed=number))
                    if number < CHECKED:
                        quality.alike.append(sanity(found, run.variables, seed=number))
            except InputError:
                continue
            fewer, more = quality.better()
            areas = [f"{area:.3f}" for area in quality.areas()]
            alike = f"{list(quality.likeness().values())[-1]:.2f}"
            seconds = f"{time.perf_counter() - started:.0f}"
            rows.append((path, method, *areas, f"{fewer}", f"{more}", alike, seconds))
    count = str(options.images)
    header = (
        "run", "method", "deletion", "insertion", "random", f"deletion better of {count}",
        f"insertion better of {count}", "alike", "seconds",
    )  # fmt: skip
    show_table(header, rows, right=header[2:])


if __name__ == "__main__":
    main(read_options(sys.argv[1:]))
