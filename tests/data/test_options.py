"""Options that cannot be, alone or together, and what is said of them."""

import pytest

from bigmodel import data

FOLDER = {"name": "folder", "path": "."}
CSV = {"name": "csv", "path": "a.csv"}
REFUSED = {
    (data.ImageData, data.load_images): [
        ({"shift": -1}, "--data.shift -1"),
        ({"shift": 8}, "--data.shift 8 .* 8x8"),
        ({"size": 0}, "--data.size 0"),
        ({"workers": 0}, "--data.workers 0"),
        ({**FOLDER, "resize": 63}, "--data.resize 63 must be at least --data.size 64"),
        ({"crop": 0.0}, "--data.crop 0.0 must be above 0"),
        ({"crop": float("nan")}, "--data.crop nan must be above 0"),
        ({"jitter": 1.5}, "--data.jitter 1.5 must be from 0 to 1"),
        ({"hue": 0.6}, "--data.hue 0.6 must be from 0 to 0.5"),
        ({"randaugment": -1}, "--data.randaugment -1 must be 0 or a positive number"),
        ({"magnitude": 31}, "--data.magnitude 31 must be from 0 to 30"),
        ({"mixup": -0.1}, "--data.mixup -0.1 must be 0 or a positive number"),
        ({"cutmix": float("inf")}, "--data.cutmix inf must be 0 or a positive number"),
        ({"path": "somewhere"}, "digits are bundled"),
        ({"name": "folder"}, "needs --data.path"),
        ({"name": "folder", "path": "/nonexistent"}, "/nonexistent is no folder"),
        ({"name": "folder", "path": "x" * 300}, "x is no folder"),
        ({"name": "fashion_mnist", "path": "/nonexistent"}, "/nonexistent is no folder"),
        ({"test_path": "."}, "--data.test-path is for --data.name folder"),
        ({**FOLDER, "test_path": "absent"}, "--data.test-path absent is no folder"),
        ({**FOLDER, "test_path": ".", "folds": 2, "fold": 0}, "leave --data.test-path out"),
    ],
    (data.TableData, data.load_table): [
        ({"name": "csv"}, "needs --data.path"),
        ({"missing": ("median",)}, "median is none; --data.fill median says what"),
        ({"path": "a.csv"}, "--data.path is for --data.name csv"),
        ({"test_path": "a.csv"}, "--data.test-path is for"),
        ({"categorical": ("a",)}, "--data.categorical is for"),
        ({**CSV, "test_path": "b", "folds": 5}, "use one"),
        ({**CSV, "path": "/absent.csv"}, r"/absent\.csv does not exist"),
    ],
    (data.RatingData, data.load_ratings): [
        ({"name": "csv"}, "--data.name csv needs a file"),
        ({"path": "no/such.csv"}, "no/such.csv does not exist"),
    ],
    (data.SequenceData, data.load_sequences): [
        ({"name": "ts"}, "--data.name ts needs a file"),
        ({"name": "ts", "path": "nowhere.ts"}, "nowhere.ts does not exist"),
        ({"path": "x.ts"}, "--data.path is for --data.name ts"),
        ({"length": 0}, "--data.length 0"),
    ],
    (data.SeriesData, data.load_series): [
        ({"window": 0}, "--data.window 0"),
        ({"horizon": 0}, "--data.horizon 0"),
        ({"name": "series"}, "--data.name series needs a file"),
        ({"path": "x.csv"}, "--data.path is for --data.name series"),
    ],
    (data.LabelledTextData, data.load_labelled_text): [
        ({}, "need --data.path"),
        ({"path": "nowhere.tsv"}, "nowhere.tsv does not exist"),
        ({"length": 0}, "--data.length 0"),
        ({"name": "topics", "vocab_size": 1}, "--data.vocab-size 1 leaves no room"),
        ({"folds": 3, "fold": 0, "test_path": "a.tsv"}, r"leave --data\.test-path out"),
    ],
    (data.PairData, data.load_pairs): [
        ({"name": "tsv"}, "--data.name tsv needs --data.path"),
        ({"group": 1}, "--data.held-out NAME ... go together"),
        ({"held_out": ("Ruth",)}, "--data.held-out NAME ... go together"),
        ({"group": 1, "held_out": ("Ruth",)}, "--data.held-out is for a file"),
        ({"source": 0}, "--data.source 0"),
        ({"max_source": 1}, "--data.max-source 1"),
        ({"validation": 0.6, "test": 0.5}, "their sum must be less than 1"),
    ],
    (data.TextData, data.load_text): [
        ({"context": 0}, "--data.context 0"),
        ({"validation": 0.5, "test": 0.5}, "their sum must be less than 1"),
        ({"name": "text"}, "--data.name text needs a file"),
        ({"tokenizer": "bpe", "vocab_size": 256}, "--data.vocab-size 256"),
    ],
    (data.WordData, data.load_words): [
        ({"minimum_count": 0}, "--data.minimum-count 0"),
        ({"window": 0}, "--data.window 0"),
        ({"negatives": 0}, "--data.negatives 0"),
        ({"subsample": 1.5}, "--data.subsample 1.5"),
        ({"validation": 0.5, "test": 0.5}, "their sum must be less than 1"),
        ({"name": "text"}, "--data.name text needs a file"),
    ],
    (data.Masking, None): [
        ({"fraction": 0.0}, "--masking.fraction 0.0"),
        ({"fraction": 1.5}, "--masking.fraction 1.5"),
        ({"masked": -0.1}, "--masking.masked -0.1"),
        ({"replaced": float("nan")}, "--masking.replaced nan"),
        ({"masked": 0.8, "replaced": 0.3}, "their sum must be at most 1"),
    ],
}


@pytest.mark.parametrize(
    ("options", "load", "given", "message"),
    [(*kind, *case) for kind, cases in REFUSED.items() for case in cases],
)
def test_options_that_cannot_be_are_refused(options, load, given, message, refused) -> None:
    with refused(message):
        load(options(**given))
