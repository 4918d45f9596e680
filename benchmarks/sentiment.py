"""What learned weights are worth for the sentiment of 10,605 snippets of reviews of movies.

    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python benchmarks/sentiment.py vaderSentiment-3.3.2.tar.gz MINILM [--labels 500 8000] [options]

The archive has the snippets with people's mean ratings (Hutto and Gilbert, 2014); those of 0.5 and
more away from 0 are positive or negative, and a fifth is held out. MINILM is the folder of
all-MiniLM-L6-v2. For each number of labels and each seed, which draws the division too, the test
accuracy is that of tf-idf of words and pairs of words with logistic regression, and of
``experiments/bert_classify.py`` with frozen features, with adapters, and fine-tuned. Options that
are not of this script go to that one.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

CLASSIFY = Path(__file__).parent.parent / "experiments" / "bert_classify.py"
INNER = "hutto_ICWSM_2014.tar.gz"
SNIPPETS = "movieReviewSnippets_GroundTruth.txt"
ARMS = {
    "frozen": ["--optimizer.freeze", "encoder", "--optimizer.learning-rate", "1e-2"],
    "adapters": ["--init.lora-rank", "8", "--optimizer.learning-rate", "1e-3"],
    "fine-tuned": ["--optimizer.learning-rate", "1e-4"],
}
FEW = 1000
"""Labels up to which more epochs pay."""
Examples = list[tuple[str, str]]


def read_options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of the benchmark, and those of ``bert_classify.py``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, nargs="+", default=(500, 100_000))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=[*ARMS])
    return parser.parse_known_args(arguments)


def main() -> None:
    """Prints a line for each run, and the means."""
    options, rest = read_options(sys.argv[1:])
    examples = read(options.archive)
    for most in options.labels:
        found: dict[str, list[float]] = {}
        for seed in options.seeds:
            train, test = divided(examples, seed=seed, most=most)
            found.setdefault("tf-idf", []).append(counted(train, test))
            for arm in options.arms:
                words = ["--init.from", str(options.folder), *ARMS[arm], *rest]
                found.setdefault(arm, []).append(trained(arm, train, test, words, seed=seed))
        for arm, accuracies in found.items():
            each = " ".join(f"{accuracy:.3f}" for accuracy in accuracies)
            print(f"{len(train)} labels, {arm}: {statistics.mean(accuracies):.3f} ({each})")


def read(archive: Path) -> Examples:
    """The snippets that are clearly positive or negative, with their labels."""
    content = member(member(archive.read_bytes(), INNER), SNIPPETS)
    lines = content.decode("utf-8", errors="replace").splitlines()
    found = []
    for line in lines:
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) >= 0.5:
            found.append(("positive" if float(rating) > 0 else "negative", text.strip()))
    return found


def member(archive: bytes, name: str) -> bytes:
    """The content of the file in an archive whose path ends so."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        (path,) = [path for path in files.getnames() if path.endswith(f"/{name}")]
        file = files.extractfile(path)
        assert file is not None
        return file.read()


def divided(examples: Examples, *, seed: int, most: int) -> tuple[Examples, Examples]:
    """At most so many examples to train on, and a fifth of all to test on."""
    order = np.random.default_rng(seed).permutation(len(examples))
    held = len(examples) // 5
    train, test = order[held : held + most], order[:held]
    return [examples[i] for i in train], [examples[i] for i in test]


def counted(train: Examples, test: Examples) -> float:
    """The test accuracy of logistic regression on tf-idf of words and their pairs."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    features = words.fit_transform([text for _, text in train])
    model = LogisticRegression(C=10, max_iter=1000).fit(features, [label for label, _ in train])
    score = model.score(words.transform([t for _, t in test]), [label for label, _ in test])
    return float(score)


def trained(arm: str, train: Examples, test: Examples, options: list[str], *, seed: int) -> float:
    """The test accuracy after training with the options, which is printed with its time."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, part in (("train", train), ("test", test)):
            paths.append(Path(folder) / f"{name}.tsv")
            lines = (f"{label}\t{text}\n" for label, text in part)
            paths[-1].write_text("".join(lines), encoding="utf-8")
        epochs = 8 if len(train) <= FEW else 2
        command = [
            sys.executable, str(CLASSIFY), *("--seed", str(seed), "--run.dir", f"{folder}/run"),
            *("--data.path", str(paths[0]), "--data.test-path", str(paths[1])),
            *("--data.validation", "0", "--data.length", "40", "--run.epochs", str(epochs)),
            *("--run.eval-every", "100000", "--model.from", options[1]), *options,
        ]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text(encoding="utf-8"))
    accuracy = float(summary["test/accuracy"])
    count = summary["parameters"]
    print(
        f"  {len(train)} labels, seed {seed}, {arm}: {accuracy:.3f}, {count:,} parameters, "
        f"{seconds:.0f} s",
        flush=True,
    )
    return accuracy


if __name__ == "__main__":
    main()
