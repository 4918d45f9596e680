"""What tf-idf and logistic regression reach on the texts that ``experiments/rnn.py`` classifies.

    python benchmarks/text.py --path FILE [the same options as --data. has there]

Words and pairs of words, sublinear counts (scikit-learn); the strength of the penalty is chosen
on the validation part. Training, validation and test parts are the same as the network's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tyro
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from bigmodel.data.texts.labelled_text import LabelledTextData, divide_texts

STRENGTHS = (1.0, 10.0, 100.0)


def baseline(options: LabelledTextData) -> tuple[float, float]:
    """The best inverse strength of the penalty, and the accuracy on the test part."""
    parts, _ = divide_texts(options)
    texts = {name: [line.content for line in lines] for name, lines in parts.items()}
    labels = {name: [line.label for line in lines] for name, lines in parts.items()}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(texts["train"])
    read = {name: vectorizer.transform(part) for name, part in texts.items()}
    fitted = [
        LogisticRegression(C=strength, max_iter=1000).fit(read["train"], labels["train"])
        for strength in STRENGTHS
    ]
    best = max(fitted, key=lambda m: m.score(read["validation"], labels["validation"]))
    return best.C, accuracy_score(labels["test"], best.predict(read["test"]))


def read_options(arguments: Sequence[str]) -> LabelledTextData:
    """The options of the benchmark."""
    return tyro.cli(LabelledTextData, args=arguments)


if __name__ == "__main__":
    strength, accuracy = baseline(read_options(sys.argv[1:]))
    print(f"tf-idf and logistic regression, C {strength:g}: test/accuracy {accuracy:.4f}")
