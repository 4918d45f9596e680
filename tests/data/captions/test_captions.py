"""Images with texts: of a file of one's own, of a folder of stamps, of a trained run."""

import re
import unicodedata

import numpy as np
import pytest
from PIL import Image

from bigmodel.data import CaptionData, ImageData, load_captions, load_images
from bigmodel.data.captions.captions import read_classes


@pytest.fixture
def images(tmp_path):
    for number in range(12):
        pixels = np.full((9, 5, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return [f"{number}.png\tgrey of {number}" for number in range(12)]


def options(path, **changes):
    given = {"size": 6, "batch_size": 4, "validation": 0.2, "test": 0.2}
    return CaptionData("files", path=path, **{**given, **changes})


def rows_of(data):
    batches = [batch for split in data.splits.values() for batch in split]
    for batch in batches:
        for row in np.flatnonzero(batch["weight"]):
            yield {name: array[row] for name, array in batch.items()}


def test_an_image_with_several_texts_is_in_one_part_and_each_pair_is_its_own(images, write):
    others = [line.replace("grey", "shade") for line in images]
    loaded = load_captions(options(write([*images, *others, images[0]])))
    data, decode = loaded.data, loaded.texts.tokenizer.decode
    parts = [{int(n) for batch in of for n in batch["picture"]} for of in data.splits.values()]
    train = {int(n) for step in range(data.steps_per_epoch) for n in data.train(0, step)["picture"]}
    assert not train & set.union(*parts)
    assert len(parts[0]) == len(parts[1]) == 2
    seen = [0, 0]
    for row in rows_of(data):
        number = int(row["picture"])
        np.testing.assert_allclose(row["image"], 20 * number / 255, rtol=1e-6)
        caption = loaded.captions[row["caption"]]
        assert caption.split()[-1] == str(number)
        told = decode(row["tokens"][: row["length"]])
        assert told == " ".join(
            word if word in ("grey", "shade", "of") else "<unknown>" for word in caption.split()
        )
        seen[caption.startswith("grey")] += 1
    assert seen == [4, 4]


def test_all_pairs_are_the_test_of_a_trained_run_in_its_tokens(images, write):
    loaded = load_captions(options(write(images)))
    again = load_captions(options(write(images), size=3), loaded.data.assets)
    assert list(again.data.splits) == ["test"]
    assert sum(batch["weight"].sum() for batch in again.data.splits["test"]) == 12
    assert again.images.shape == (6, 6, 3)
    assert again.texts.names == loaded.texts.names
    assert len(loaded.texts.names) == 8


def test_digits_and_names_are_divided_as_digits_and_classes_are():
    pairs, images = load_captions(CaptionData()).data, load_images(ImageData()).data
    for part, inputs in images.inputs.items():
        np.testing.assert_array_equal(pairs.inputs[part], inputs)


def test_a_file_is_found_however_its_accents_are_written(images, write, tmp_path):
    lines = [line.replace(".png", " für.png") for line in images]
    for number in range(12):
        name = unicodedata.normalize(("NFC", "NFD")[number % 2], f"{number} für.png")
        (tmp_path / f"{number}.png").rename(tmp_path / name)
    content = "\r\n".join(lines).encode("utf-8-sig")
    loaded = load_captions(options(write(content)))
    assert len(list(rows_of(loaded.data))) == 4
    again = load_captions(options(write([lines[0]])), loaded.data.assets)
    assert again.captions == ("grey of 0",)


def test_stamps_are_told_by_the_first_line_beside_them(tmp_path):
    folder = tmp_path / "animals"
    folder.mkdir()
    for number in range(10):
        Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(folder / f"{number}.png")
        if number:
            text = f"A dog of {number}.\naf.utf8='n Hond."
            (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    loaded = load_captions(CaptionData("stamps", path=str(tmp_path), batch_size=4))
    assert loaded.captions == tuple(f"A dog of {number}." for number in range(1, 10))
    assert loaded.data.train(0, 0)["image"].min() == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0.png one"], "line 1 has no tab"),
        (["0.png\tone", "\t two"], "line 2 needs a file and a text"),
        (["0.png\tone", "", "1.png\t "], "line 3 needs a file and a text"),
        (["0.png\tone", "none.png\ttwo"], "line 2: none.png cannot be read as an image: No such"),
        (["0.png\tone", "0.png\ttwo"], "has 1 image"),
        (["0.png\tone", "data\ttwo"], "line 2: data cannot be read as an image"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(lines, message, images, write, refused):
    del images
    with refused(message):
        load_captions(options(write(lines)))


def test_images_that_all_have_one_text_are_refused(images, write, refused):
    lines = [re.sub("\t.*", "\ta shade", line) for line in images]
    with refused("all images to train on have the text 'a shade'; .* two that differ"):
        load_captions(options(write(lines)))


def test_images_that_the_memory_cannot_hold_are_refused(images, write, refused):
    with refused("12 images of 1000000x1000000 pixels need"):
        load_captions(options(write(images), size=10**6))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "files"}, "needs --data.path"),
        ({"name": "digits", "path": "x"}, "digits are bundled"),
        ({"name": "stamps", "path": "/nowhere"}, "no stamps with texts"),
        ({"test_path": "x"}, "for --data.name files"),
        ({"shift": -1}, "--data.shift -1"),
        ({"mixup": 0.2}, "--data.mixup mixes classes"),
        ({"shift": 8}, "smaller than images"),
    ],
)
def test_options_that_do_not_fit_are_refused(given, message, refused):
    with refused(message):
        load_captions(CaptionData(**given))


def test_texts_to_choose_among_are_two_or_more(write, refused):
    assert read_classes(write(["a dog", "", "a cat ", "a dog"])) == ("a dog", "a cat")
    with refused("has 1 text"):
        read_classes(write(["a dog"]))
