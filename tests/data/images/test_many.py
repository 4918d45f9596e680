"""Folders of more images than are kept in memory: decoded as they are asked for, or prepared."""

import errno
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from bigmodel.data.images import images, pixels
from bigmodel.data.images.images import ImageData, load_images
from bigmodel.data.images.sources import prepare_images
from bigmodel.errors import StorageError

RNG = np.random.default_rng(0)
AUGMENTED = {"shift": 1, "flip": True, "crop": 0.3, "jitter": 0.3, "hue": 0.1, "randaugment": 2}


@pytest.fixture
def folder(tmp_path):
    """Two classes of 15 JPEGs, each another."""
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(15):
            image = Image.fromarray(RNG.integers(0, 256, (20, 24, 3)).astype(np.uint8))
            image.save(tmp_path / "images" / name / f"{number}.jpg")
    return tmp_path / "images"


def options(folder, **changes):
    given = {"batch_size": 4, "size": 16, "cache": str(folder.parent / "cache"), "workers": 3}
    return ImageData("folder", path=str(folder), **given | changes)


def load(folder, **changes):
    return load_images(options(folder, **changes)).data


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(pixels, "IN_MEMORY", 0)
    monkeypatch.setattr(pixels, "AT_ONCE", 7)
    monkeypatch.setattr(images, "LOOKED_AT", 2)


def every_batch(data):
    train = [data.train(1, step) for step in range(data.steps_per_epoch + 1)]
    return train + [batch for split in data.splits.values() for batch in split]


@pytest.mark.parametrize(
    "changes",
    [{}, AUGMENTED, {"resize": 20, "channels": "grey"}, {"resize": 20, "crop": 0.5, "mixup": 0.2}],
    ids=str,
)
def test_images_in_memory_in_files_and_prepared_are_the_same_bytes(
    folder, monkeypatch, changes, capsys
) -> None:
    within = load(folder, **changes)
    monkeypatch.setattr(pixels, "IN_MEMORY", 0)
    streamed = load(folder, **changes)
    prepare_images(options(folder, **changes))
    stored = load(folder, **changes)
    assert "are decoded by 3 threads" in (told := capsys.readouterr().err)
    assert f"are read from {folder.parent / 'cache'}" in told
    for a, *others in zip(*map(every_batch, (within, streamed, stored)), strict=True):
        for other in others:
            np.testing.assert_equal(other, a)
    assert streamed.fingerprint == stored.fingerprint
    assert within.inputs.keys() == stored.inputs.keys()
    reader = load_images(options(folder, **changes)).reader
    for split, inputs in stored.inputs.items():
        encoded = reader.encode(inputs[:4])["image"]
        for data in (within, streamed, stored):
            first = data.receive(data.splits[split][0])["image"][: len(encoded)]
            np.testing.assert_array_equal(first, encoded)


@pytest.mark.usefixtures("many")
def test_bits_depend_on_no_number_of_threads_and_rows(folder) -> None:
    one, other = (load(folder, workers=workers, **AUGMENTED) for workers in (1, 4))
    for step in range(3):
        whole = one.train(2, step)
        parts = [other.train(2, step, slice(row, row + 1)) for row in range(4)]
        for name, array in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)


@pytest.mark.usefixtures("many")
def test_the_same_images_elsewhere_are_the_same_data(folder) -> None:
    first = load(folder).fingerprint
    moved = folder.parent / "elsewhere"
    shutil.copytree(folder, moved)
    assert load(moved).fingerprint == first
    (moved / "cat" / "3.jpg").rename(moved / "cat" / "99.jpg")
    assert load(moved).fingerprint != first
    assert load(folder, split_seed=1).fingerprint != first
    assert load(folder, background="black").fingerprint != first


@pytest.mark.parametrize("state", ["changed", "cut", "missing"])
@pytest.mark.usefixtures("many")
def test_a_file_that_changes_under_a_run_is_named(folder, state) -> None:
    data = load(folder, validation=0.0, test=0.0, batch_size=30)
    path = folder / "dog" / "7.jpg"
    if state == "missing":
        path.unlink()
    elif state == "cut":
        path.write_bytes(path.read_bytes()[:300])
    else:
        os.utime(path, ns=(1, 1))
    message = "cannot read .*dog/7.jpg" if state == "missing" else "dog/7.jpg has changed since"
    with pytest.raises(StorageError, match=message):
        data.train(0, 0)


@pytest.mark.usefixtures("many")
def test_files_that_are_no_images_are_named_in_a_batch_and_all_of_them_before(
    folder, refused
) -> None:
    for number in (2, 3, 8, 14):
        (folder / "dog" / f"{number}.jpg").write_bytes(b"no image")
    data = load(folder, validation=0.0, test=0.0, batch_size=30)
    with refused(r"dog/\d+.jpg cannot be read as an image"):
        data.train(0, 0)
    message = r"14.jpg cannot .*; .*2.jpg cannot .*; .*3.jpg cannot .*, and so are 1 more; mend"
    with refused(message):
        prepare_images(options(folder))
    assert not list((folder.parent / "cache").rglob(pixels.PIXELS))


@pytest.mark.usefixtures("many")
def test_a_full_disk_is_said_and_leaves_nothing(folder, monkeypatch) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array_header_1_0", full)
        with pytest.raises(StorageError, match=r"No space left on device; --data\.cache"):
            prepare_images(options(folder))
    assert not list((folder.parent / "cache").rglob(pixels.PIXELS))
    prepare_images(options(folder))
    assert len(list((folder.parent / "cache").rglob(pixels.PIXELS))) == 1


@pytest.mark.usefixtures("many")
def test_what_was_prepared_of_other_files_or_another_version_is_not_read(
    folder, monkeypatch, capsys, refused
) -> None:
    prepare_images(options(folder))
    load(folder)
    assert "are read from" in capsys.readouterr().err
    os.utime(folder / "cat" / "0.jpg", ns=(5, 5))
    load(folder)
    assert "are decoded by" in capsys.readouterr().err
    prepare_images(options(folder, size=17))
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "VERSION", pixels.VERSION + 1)
        load(folder, size=17)
    assert "is of another version of the code and is not used" in capsys.readouterr().err
    for path in (folder.parent / "cache").rglob(pixels.PIXELS):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-100])
    with refused(rf"{pixels.PIXELS} has \d+ bytes and had"):
        load(folder, size=17)


@pytest.mark.usefixtures("many")
def test_images_of_more_than_8_bits_are_decoded_at_the_start_however_many(
    tmp_path, refused, capsys
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for number in range(12):
            deep = RNG.integers(0, 60_000, (9, 9)).astype(np.uint16)
            Image.fromarray(deep).save(tmp_path / "deep" / name / f"{number}.png")
    assert load(tmp_path / "deep").train(0, 0)["image"].dtype == np.float32
    assert "become 0 to 1" in capsys.readouterr().err
    with refused("more than 8 bits a pixel; such images .* nothing to prepare"):
        prepare_images(options(tmp_path / "deep"))


@pytest.mark.usefixtures("many")
def test_one_image_of_more_than_8_bits_among_many_is_named(folder, refused) -> None:
    deep = RNG.integers(0, 60_000, (9, 9)).astype(np.uint16)
    Image.fromarray(deep).save(folder / "dog" / "3deep.png")
    data = load(folder, validation=0.0, test=0.0, batch_size=31)
    with refused(r"dog/3deep.png has more than 8 bits a pixel, and .*cat/0.jpg has 8"):
        data.train(0, 0)


@pytest.mark.usefixtures("many")
def test_many_equal_images_are_refused(tmp_path, refused) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "same" / name).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8)).save(tmp_path / "same" / name / f"{number}.png")
    with refused("training images are equal as they are read"):
        load(tmp_path / "same")
