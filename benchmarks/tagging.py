"""What labels of words are worth without a model: for each word, the label that it has most often.

    python benchmarks/tagging.py --path train.conll --test-path test.conll

By default on the data of `experiments/tagging.py`, in its division. A word that training never had
gets the label that is most frequent among words which it had once.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence

import tyro

from bigmodel.data.tagging.tagged import TaggedData, divide
from bigmodel.training.texts.entities import scores


def read_options(arguments: Sequence[str]) -> TaggedData:
    """The options of the benchmark: those of the data."""
    return tyro.cli(TaggedData, args=arguments)


def main(data: TaggedData) -> None:
    """Prints the share of right labels, and the scores of the entities that they make."""
    parts = divide(data)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in parts["train"]:
        for word, label in zip(*sentence, strict=True):
            counts[word][label] += 1
    rare = Counter(label for of in counts.values() if of.total() == 1 for label in of)
    often = {word: of.most_common(1)[0][0] for word, of in counts.items()}
    [(other, _)] = rare.most_common(1) or [("O", 0)]
    right = [sentence.labels for sentence in parts["test"]]
    found = [[often.get(word, other) for word in each.words] for each in parts["test"]]
    pairs = [pair for each in zip(found, right, strict=True) for pair in zip(*each, strict=True)]
    of_all, of_kinds = scores(found, right)
    print(f"accuracy {sum(one == other for one, other in pairs) / len(pairs):.4f}")
    for name, each in {**of_kinds, "all": of_all}.items():
        print(f"{name}: precision {each.precision:.4f}, recall {each.recall:.4f}, F1 {each.f1:.4f}")


if __name__ == "__main__":
    main(read_options(sys.argv[1:]))
