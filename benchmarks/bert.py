"""What pre-training is worth: guesses at masked tokens, and texts labelled with it and without.

    python benchmarks/bert.py RUN                             # the guesses alone
    python benchmarks/bert.py RUN --data.path train.tsv --data.test-path test.tsv [options]

RUN is a finished run directory of ``experiments/bert.py``. Its masked accuracy on the test part
is put beside that of three guesses by counting, on the same masks: the most frequent token, what
most often follows the token before, and what most often stands between the tokens on both sides
(their pair, if it was seen in the training part, or else the token before).

With labelled texts, ``experiments/bert_classify.py`` trains on them for several seeds, with the
learned encoder and from scratch. Both read the same tokens with the same network, and each has
the learning rate that is best on the validation part over all seeds. Options that are not of
this script go to that one.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel.data.texts.masking import Masking, masked
from bigmodel.data.texts.ngrams import likeliest_between, likeliest_followers, most_frequent
from bigmodel.data.texts.text import TextData, load_text

CLASSIFY = Path(__file__).parent.parent / "experiments" / "bert_classify.py"


def read_options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of the benchmark, and those of ``bert_classify.py``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs="+", default=(3e-4, 1e-3, 3e-3))
    options, rest = parser.parse_known_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2: one seed has no spread")
    return options, rest


def main() -> None:
    """Prints the comparison."""
    options, rest = read_options(sys.argv[1:])
    compare_guesses(options.run)
    if rest:
        compare_labels(options.run, rest, seeds=options.seeds, rates=options.rates)


def compare_guesses(run: Path) -> None:
    """Accuracies on the masks of the test part."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    text = load_text(TextData(**config["data"]))
    vocab_size = text.tokenizer.vocab_size
    data = masked(text.data, Masking(**config["masking"]), vocab_size=vocab_size)
    often = most_frequent(text.train)
    follower = np.append(likeliest_followers(text.train, vocab_size=vocab_size), often)
    between = likeliest_between(text.train)
    found: dict[str, list[bool]] = {"most frequent": [], "token before": [], "both sides": []}
    for batch in data.splits["test"]:
        for row, column in np.argwhere(batch["weight"] > 0):
            at, right = batch["chosen"][row, column], batch["targets"][row, column]
            tokens = batch["tokens"][row, : batch["length"][row]]
            before = int(follower[tokens[at - 1]]) if at else often
            inside = 0 < at < len(tokens) - 1
            sides = (int(tokens[at - 1]), int(tokens[at + 1])) if inside else (-1, -1)
            found["most frequent"].append(right == often)
            found["token before"].append(right == before)
            found["both sides"].append(right == between.get(sides, before))
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    print(f"masked tokens of the test part: {len(found['both sides']):,}")
    print(f"  BERT           {100 * summary['test/accuracy']:.1f} %")
    for name, hits in found.items():
        print(f"  {name:14} {100 * np.mean(hits):.1f} %")


def compare_labels(run: Path, options: list[str], *, seeds: int, rates: list[float]) -> None:
    """Test accuracies over seeds, with the learned encoder and without."""
    best: dict[str, list[dict[str, Any]]] = {}
    for name, arm in (("pre-trained", []), ("from scratch", ["--init.exclude", "."])):
        tried = []
        for rate in rates:
            chosen = ["--init.from", str(run), *arm, "--optimizer.learning-rate", str(rate)]
            tried.append([label(seed, [*chosen, *options]) for seed in range(seeds)])
            print(f"  {name}, rate {rate:g}: test accuracy {spread(tried[-1])}", flush=True)
        best[name] = max(
            tried, key=lambda runs: statistics.mean(run["validation/accuracy"] for run in runs)
        )
    for name, runs in best.items():
        print(f"{name}: test accuracy {spread(runs)}")
    with_it, without = ([run["test/accuracy"] for run in runs] for runs in best.values())
    gains = [100 * (a - b) for a, b in zip(with_it, without, strict=True)]
    error = statistics.stdev(gains) / math.sqrt(seeds)
    print(
        f"pre-training gains {statistics.mean(gains):.1f} points, standard error {error:.1f}, "
        f"in {sum(gain > 0 for gain in gains)} of {seeds} seeds"
    )


def label(seed: int, options: list[str]) -> dict[str, Any]:
    """The summary of one run of ``bert_classify.py``."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(CLASSIFY), "--seed", str(seed), "--run.dir", folder]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        return json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))


def spread(runs: list[dict[str, Any]]) -> str:
    """Mean, standard deviation and the values."""
    values = [100 * run["test/accuracy"] for run in runs]
    each = " ".join(f"{value:.1f}" for value in values)
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f} % ({each})"


if __name__ == "__main__":
    main()
