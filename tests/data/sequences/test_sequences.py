import numpy as np
import pytest

from bigmodel import data as kinds
from bigmodel.data.packaged import packaged
from bigmodel.data.sequences.sequences import image_rows
from bigmodel.data.sequences.ts_file import read_ts

RNG = np.random.default_rng(0)


def lines(count, channels=2, labels="ab"):
    """Sequences of 1 to 4 steps, each label in turn."""
    found = []
    for n in range(count):
        values = RNG.normal(3, 2, size=(channels, 1 + n % 4)).round(3)
        cells = ":".join(",".join(map(str, channel)) for channel in values)
        found.append(f"{cells}:{labels[n % len(labels)]}")
    return found


@pytest.fixture
def options(write):
    def options(content, name="train.ts", labels="a b", **chosen):
        path = write([f"@classLabel true {labels}", "@data", *content], name)
        return kinds.SequenceData("ts", path=path, **{"batch_size": 4} | chosen)

    return options


def all_of(data, split):
    """The sequences without padding, and the labels, of a split."""
    batches = data.splits[split]
    return [
        (batch["sequence"][row, : batch["length"][row]], batch["label"][row])
        for batch in batches
        for row in np.flatnonzero(batch["weight"])
    ]


def test_japanese_vowels_are_those_of_the_file_standardised_by_the_training_part():
    data, reader = kinds.load_sequences(kinds.SequenceData(validation=0.0))
    train, test = (
        read_ts(packaged("sktime", f"datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts"))
        for part in ("TRAIN", "TEST")
    )
    seen = np.concatenate([case.content for case in train])
    found = all_of(data, "test")
    assert (len(train), len(found), len(reader.names)) == (270, 370, 9)
    for (sequence, label), case in zip(found, test, strict=True):
        expected = (case.content - seen.mean(axis=0)) / seen.std(axis=0)
        np.testing.assert_allclose(sequence, expected, rtol=1e-3, atol=1e-4)
        assert reader.names[label] == case.label


def test_zeros_stand_after_the_end(options):
    data, _ = kinds.load_sequences(options(lines(40), validation=0.1, test=0.2))
    for batch in (data.train(0, 0), *data.splits["test"]):
        beyond = np.arange(4) >= batch["length"][:, None]
        assert (batch["sequence"][beyond] == 0).all()


def test_a_file_for_the_test_is_all_of_the_test(options):
    test = options(lines(6), "test.ts").path
    data, _ = kinds.load_sequences(options(lines(40), test_path=test))
    assert [label for _, label in all_of(data, "test")] == [0, 1, 0, 1, 0, 1]


def test_a_channel_that_never_changes_is_zero(options):
    content = [f"{n},{n + 1}:0.1,0.1:{'ab'[n % 2]}" for n in range(20)]
    data, _ = kinds.load_sequences(options(content))
    sequence = data.train(0, 0)["sequence"]
    assert np.isfinite(sequence).all()
    assert (sequence[..., 1] == 0).all()


def test_a_number_that_is_none_when_it_is_standardised_is_refused(options, refused):
    _, reader = kinds.load_sequences(options([f"{n / 99}:{'ab'[n % 2]}" for n in range(20)]))
    assert np.isfinite(reader.encode([[[1e30]]])["sequence"]).all()
    with refused("it has a number that is too far from those of training"):
        reader.encode([[[0.0]], [[-3e38]]])


def test_rows_are_those_of_the_image_from_the_top():
    images = kinds.load_images(kinds.ImageData(batch_size=8))
    sequences = image_rows(images)
    image, batch = images.data.train(3, 5), sequences.data.train(3, 5)
    assert set(batch) == {"sequence", "length", "label", "weight"}
    np.testing.assert_array_equal(batch["sequence"], image["image"][..., 0])
    np.testing.assert_array_equal(batch["length"], np.full(8, 8, np.int32))
    np.testing.assert_array_equal(batch["label"], image["label"])
    for name, batches in images.data.splits.items():
        assert len(sequences.data.splits[name]) == len(batches)
        np.testing.assert_array_equal(sequences.data.splits[name][-1]["weight"],
                                      batches[-1]["weight"])  # fmt: skip


def test_each_sequence_is_in_the_test_of_one_fold(options):
    content = lines(40)
    parts = [kinds.load_sequences(options(content, folds=4, fold=fold)).data for fold in range(4)]
    held = [(len(sequence), label) for data in parts for sequence, label in all_of(data, "test")]
    assert sorted(held) == sorted((1 + n % 4, n % 2) for n in range(40))


def test_a_sequence_that_is_too_long_is_refused_with_its_line(options, refused):
    with refused(r"train.ts, line 5 has 3 steps, more than --data.length"):
        kinds.load_sequences(options(lines(40), length=2))


@pytest.mark.parametrize(
    ("content", "labels", "message"),
    [
        (["1:2:a", "1:2:c"], "a c", r"test.ts, line 4 has the label 'c', which .*train.ts"),
        (lines(4, channels=3), "a b", r"test.ts has 3 channels, and .*train.ts has 2"),
    ],
)
def test_a_test_file_that_does_not_fit_is_refused(options, content, labels, message, refused):
    test = options(content, "test.ts", labels=labels).path
    with refused(message):
        kinds.load_sequences(options(lines(40), test_path=test))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["1:a", "2:b"], "line 3: it is an array of 1x1, and a sequence has a list of 2 numbers"),
        (["1:2:3:a"], "line 3: it is an array of 1x3"),
        (["1:2:a", "1,2,3,4,5:1,2,3,4,5:b"], "line 4: it has 5 steps, and .* had up to 4; cut it"),
    ],
)
def test_sequences_that_a_run_cannot_read_are_refused_with_their_line(
    options, content, message, refused
):
    assets = kinds.load_sequences(options(lines(40))).data.assets
    with refused(rf"other\.ts, {message}"):
        kinds.load_sequences(options(content, "other.ts", length=3), assets)


TOPICS = {"name": "topics", "tokenizer": "char", "split_seed": 3}


@pytest.mark.parametrize(
    ("chosen", "load", "options"),
    [
        ({"name": "digits"}, kinds.load_images, kinds.ImageData),
        ({"name": "japanese_vowels"}, kinds.load_sequences, kinds.SequenceData),
        (TOPICS, kinds.load_labelled_text, kinds.LabelledTextData),
    ],
)
def test_a_source_of_any_name_is_what_its_own_loader_gives(chosen, load, options):
    source = kinds.load_labelled(kinds.SequenceSource(**chosen))
    assert source.data.fingerprint == load(options(**chosen)).data.fingerprint


def test_a_source_of_a_series_forecasts(refused):
    source = kinds.SequenceSource(name="sunspots", window=12, horizon=2)
    expected = kinds.load_series(kinds.SeriesData(window=12, horizon=2))
    assert source.forecast
    assert kinds.load_forecasts(source).data.fingerprint == expected.data.fingerprint
    with refused(r"divided in time; leave --data\.folds"):
        kinds.load_forecasts(kinds.SequenceSource(name="sunspots", folds=3))
