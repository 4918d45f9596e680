"""What a run keeps of its data encodes inputs as the data was, and nothing else does."""

import functools
import json

import numpy as np
import pytest

from bigmodel.data import (
    ImageData,
    LabelledTextData,
    SequenceData,
    SequenceSource,
    SeriesData,
    image_reader,
    labelled_reader,
    load_forecasts,
    load_images,
    load_labelled,
    load_labelled_text,
    load_sequences,
    load_series,
    sequence_reader,
    series_reader,
    text_reader,
)
from bigmodel.data.images.reading import ImageReader
from bigmodel.experiment import InputError
from bigmodel.predictor import Beginning

SOURCES = {
    "images": (lambda assets: load_images(ImageData(), assets), image_reader),
    "vowels": (lambda assets: load_sequences(SequenceData(), assets), sequence_reader),
    "rows": (lambda assets: load_labelled(SequenceSource("digits"), assets), labelled_reader),
    "topics": (
        lambda assets: load_labelled(SequenceSource("topics", length=20), assets),
        labelled_reader,
    ),
    "texts": (
        lambda assets: load_labelled_text(
            LabelledTextData("topics", tokenizer="bpe", vocab_size=400, length=30), assets=assets
        ),
        text_reader,
    ),
    "series": (lambda assets: load_series(SeriesData(horizon=3), assets), series_reader),
    "sunspots": (lambda assets: load_forecasts(SequenceSource("sunspots"), assets), series_reader),
}


@pytest.mark.parametrize("source", SOURCES)
def test_inputs_are_encoded_as_the_data_was(source):
    load, read = SOURCES[source]
    data = load(None).data
    reader = read(data.assets)
    for split, batches in data.splits.items():
        inputs = data.inputs[split]
        encoded = reader.encode(inputs)
        for name, array in encoded.items():
            expected = np.concatenate([batch[name] for batch in batches])[: len(inputs)]
            np.testing.assert_array_equal(array, expected)
        weights = np.concatenate([batch["weight"] for batch in batches])
        assert weights.sum() == len(inputs)
        few = [each if isinstance(each, str) else np.asarray(each).tolist() for each in inputs[:3]]
        again = reader.encode([Beginning(e) if isinstance(e, str) else e for e in few])
        for name, array in again.items():
            np.testing.assert_array_equal(array, encoded[name][:3])


@pytest.mark.parametrize("source", SOURCES)
def test_all_examples_are_the_test_split_of_a_run(source):
    load, _ = SOURCES[source]
    data = load(None).data
    whole = load(data.assets).data
    assert list(whole.splits) == ["test"]
    count = sum(batch["weight"].sum() for batch in whole.splits["test"])
    held_out = sum(batch["weight"].sum() for split in data.splits.values() for batch in split)
    assert count > held_out
    assert whole.inputs["test"][0] is not None
    json.dumps({name: content.decode() for name, content in whole.assets.items()})


VOWEL = [[0.0] * 12]
WRONG = [
    ("images", 5, r"array of , and the images"),
    ("images", [[1, 2], [3]], r"no image"),
    ("images", {"a": 1}, r"no image"),
    ("images", np.zeros((9, 8)), r"array of 9x8x1, and the images of the run are 8x8x1"),
    ("images", np.full((8, 8), np.nan), r"numbers are not from 0 to 1"),
    ("images", np.full((8, 8), 3), r"numbers are not from 0 to 1"),
    ("images", b"", r"cannot be read as an image: it is empty"),
    ("images", b"GIF89a", r"cannot be read as an image"),
    ("vowels", [[0.0] * 11], r"array of 1x11, and a sequence has a list of 12 numbers"),
    ("vowels", [], r"array of 0, and a sequence"),
    ("vowels", VOWEL * 30, r"30 steps, and the sequences of the run had up to 29"),
    ("vowels", [[float("inf")] * 12], r"not finite"),
    ("vowels", [["a"] * 12], r"no list of numbers"),
    ("vowels", "a.ts", r"no list of numbers"),
    ("topics", 3, r"it is no text: 3"),
    ("topics", " ", r"it is empty; give a text"),
    ("topics", "\ud800", r"half of a surrogate pair"),
    ("topics", "many words " * 20, r"it has 40 tokens, and the model reads 20; .*--cut"),
    ("series", [1.0] * 47, r"it has 47 values, and a forecast is made from 48"),
    ("series", [1.0] * 47 + [float("nan")], r"not finite"),
    ("series", [1.0] * 47 + [1e39], r"too large for 32 bits"),
    ("series", ["1"] * 47 + [""], r"missing, or no number"),
    ("series", [[1.0] * 48], r"no list of numbers"),
    ("series", {}, r"no list of numbers"),
]


@pytest.mark.parametrize(("source", "wrong", "said"), WRONG)
def test_what_cannot_be_encoded_is_refused(source, wrong, said):
    with pytest.raises(InputError, match=said):
        reader_of(source).encode([wrong])


@functools.cache
def reader_of(source):
    load, read = SOURCES[source]
    return read(load(None).data.assets)


def test_arrays_from_0_to_1_stay_as_they_are_beside_files_of_more_bits():
    reader = ImageReader(("a",), (2, 2, 1), low=10.0, high=20.0)
    array = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
    encoded = reader.encode([array, array[..., None], (255 * array).astype(np.uint8)])["image"]
    np.testing.assert_array_equal(encoded[0], array[..., None])
    np.testing.assert_array_equal(encoded[1], array[..., None])
    np.testing.assert_allclose(encoded[2], array[..., None], atol=0.003)
