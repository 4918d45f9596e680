import gzip
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bigmodel.data.images import fashion_mnist
from bigmodel.data.images.images import ImageData, load_images
from bigmodel.data.split import stratified
from bigmodel.experiment import InputError

DIGITS = load_digits()
RNG = np.random.default_rng(0)


def real(batches, name):
    return np.concatenate([batch[name][batch["weight"] == 1] for batch in batches])


def train_rows(data, name, seed=0):
    return np.concatenate([data.train(seed, step)[name] for step in range(data.steps_per_epoch)])


def write_idx(path, array):
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def idx(tmp_path):
    """A folder of idx files, two of them gzipped: 40 images to train on, 20 to test on."""
    for part, count in (("train", 40), ("t10k", 20)):
        images = RNG.integers(0, 256, (count, 5, 4))
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    return tmp_path


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten images of one colour each, of several formats, sizes and modes."""
    for name, level in (("cat", 40), ("dog", 200)):
        (tmp_path / name / ".hidden").mkdir(parents=True)
        (tmp_path / name / ".hidden" / "file.png").write_text("no image")
        (tmp_path / name / ".DS_Store").write_text("no image")
        for n in range(10):
            mode, suffix = [("L", "png"), ("RGB", "jpg"), ("P", "gif"), ("RGBA", "webp")][n % 4]
            image = Image.new("RGB", (10 + n, 30 - n), (level, level, level))
            image = image.quantize() if mode == "P" else image.convert(mode)
            image.save(tmp_path / name / f"{n}.{suffix}")
    (tmp_path / ".git").mkdir()
    return tmp_path


def fashion(path, **options):
    return load_images(ImageData("fashion_mnist", path=str(path), batch_size=8, **options))


def own(path, **options):
    return load_images(
        ImageData("folder", path=str(path), **{"batch_size": 4, "size": 16} | options)
    )


def test_digits_are_all_there_once_scaled_to_the_unit_range():
    images = load_images(ImageData(batch_size=1))
    data = images.data
    pixels = np.concatenate(
        [train_rows(data, "image"), *(real(split, "image") for split in data.splits.values())]
    )
    ours = sorted(map(bytes, (pixels * 16).astype(np.uint8)))
    assert ours == sorted(map(bytes, DIGITS.images.astype(np.uint8)))
    assert (images.classes, images.shape) == (10, (8, 8, 1))


def test_labels_stay_with_their_images():
    by_image = {
        bytes(i): t for i, t in zip(DIGITS.images.astype(np.uint8), DIGITS.target, strict=True)
    }
    data = load_images(ImageData()).data
    for batch in [data.train(0, 3), data.splits["validation"][0], data.splits["test"][1]]:
        for image, label in zip(
            (batch["image"] * 16).astype(np.uint8), batch["label"], strict=True
        ):
            assert by_image[bytes(image)] == label


def test_splits_are_stratified_as_scikit_learns():
    data = load_images(ImageData(batch_size=1)).data
    rest, test = train_test_split(DIGITS.target, test_size=0.2, stratify=DIGITS.target)
    train, validation = train_test_split(rest, test_size=0.1, stratify=rest)
    for ours, theirs in (
        (train_rows(data, "label"), train),
        (real(data.splits["validation"], "label"), validation),
        (real(data.splits["test"], "label"), test),
    ):
        difference = np.bincount(ours, minlength=10) - np.bincount(theirs, minlength=10)
        assert np.abs(difference).max() <= 1


def test_a_split_holds_out_and_keeps_at_least_one_of_each_class():
    labels = np.asarray([0, 0, 1, 1, 1, 1])
    for fraction in (0.01, 0.99):
        kept, held = stratified(labels, fraction, names=("a", "b"), seed=0)
        assert set(labels[kept]) == set(labels[held]) == {0, 1}
        assert sorted([*kept, *held]) == list(range(6))


def test_a_class_too_small_to_divide_is_named():
    with pytest.raises(InputError, match="'b' has 1 example"):
        stratified(np.asarray([0, 0, 1]), 0.5, names=("a", "b"), seed=0)


def test_the_split_depends_on_its_own_seed_and_not_on_the_seed_of_the_run():
    first, again, other = (load_images(ImageData(split_seed=s)).data for s in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.splits.keys() == {"validation", "test"}


def test_a_fraction_of_zero_leaves_its_split_out():
    data = load_images(ImageData(validation=0.0, test=0.0, batch_size=1797)).data
    assert data.splits == {}
    assert data.steps_per_epoch == 1


def test_all_batches_have_one_structure(idx):
    data = fashion(idx, shift=1, flip=True).data
    shapes = [
        {name: (array.shape, array.dtype.name) for name, array in batch.items()}
        for batch in (data.train(0, 0), data.splits["validation"][0], data.splits["test"][-1])
    ]
    expected = {
        "image": ((8, 5, 4, 1), "float32"),
        "label": ((8,), "int32"),
        "weight": ((8,), "float32"),
    }
    assert shapes == [expected] * 3


def test_augmentation_is_for_training_alone_and_decided_by_seed_and_step(idx):
    plain, moved = fashion(idx).data, fashion(idx, shift=2, flip=True).data
    for name in ("validation", "test"):
        for a, b in zip(plain.splits[name], moved.splits[name], strict=True):
            np.testing.assert_array_equal(a["image"], b["image"])
    assert not np.array_equal(plain.train(0, 1)["image"], moved.train(0, 1)["image"])
    np.testing.assert_array_equal(moved.train(0, 1)["image"], moved.train(0, 1)["image"])


def test_idx_files_are_the_test_set_in_order_scaled_to_the_unit_range(idx):
    images = fashion(idx, validation=0.0)
    content = (idx / "t10k-images-idx3-ubyte").read_bytes()
    expected = np.frombuffer(content, np.uint8, offset=16).reshape(20, 5, 4, 1) / 255
    got = real(images.data.splits["test"], "image")
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_array_equal(real(images.data.splits["test"], "label"), np.arange(20) % 10)
    assert images.names == fashion_mnist.NAMES


def test_without_a_path_files_are_downloaded_into_the_cache(idx, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", idx / "absent")
    monkeypatch.setattr(fashion_mnist, "cache_folder", lambda _: idx / "cache")
    asked = []

    def fetch(url, destination, *, sha256):
        name = destination.name.removesuffix(".gz")
        asked.append((url.rpartition("/")[2], sha256))
        destination.parent.mkdir(exist_ok=True)
        source = idx / name if (idx / name).exists() else idx / f"{name}.gz"
        destination.with_suffix(source.suffix if source.suffix == ".gz" else "").write_bytes(
            source.read_bytes()
        )

    monkeypatch.setattr(fashion_mnist, "fetch", fetch)
    for _ in range(2):
        assert load_images(ImageData("fashion_mnist", batch_size=8)).shape == (5, 4, 1)
    assert asked == [(f"{name}.gz", sha256) for name, sha256 in fashion_mnist.SHA256.items()]


def test_an_idx_file_that_is_missing_is_named(idx):
    (idx / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\.gz"):
        fashion(idx)


@pytest.mark.parametrize("keep", [0, 3, 10, -1])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"])
def test_a_truncated_idx_file_is_named(idx, name, keep):
    content = (idx / name).read_bytes()
    (idx / name).write_bytes(content[:keep])
    with pytest.raises(InputError, match=name):
        fashion(idx)


def test_an_idx_file_of_another_kind_is_named(idx):
    write_idx(idx / "train-images-idx3-ubyte", np.zeros(40))
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte .* 0x00000801.* 0x00000803"):
        fashion(idx)


def test_labels_that_do_not_match_images_are_counted(idx):
    write_idx(idx / "train-labels-idx1-ubyte.gz", np.zeros(39))
    with pytest.raises(InputError, match=r"40 images.*39 labels"):
        fashion(idx)


def test_a_label_beyond_the_classes_is_named(idx):
    write_idx(idx / "train-labels-idx1-ubyte.gz", np.full(40, 10))
    with pytest.raises(InputError, match="label 10"):
        fashion(idx)


def test_test_images_of_another_size_are_refused(idx):
    write_idx(idx / "t10k-images-idx3-ubyte", np.zeros((20, 4, 4)))
    with pytest.raises(InputError, match=r"5, 4.*4, 4"):
        fashion(idx)


@pytest.mark.parametrize(("channels", "depth"), [("grey", 1), ("rgb", 3)])
def test_a_folder_of_any_formats_and_sizes_becomes_arrays_of_one_shape(folder, channels, depth):
    images = own(folder, channels=channels)
    assert (images.names, images.shape) == (("cat", "dog"), (16, 16, depth))
    data = images.data
    batches = [*(data.train(0, s) for s in range(data.steps_per_epoch)), *data.splits["test"]]
    for level, label in ((40, 0), (200, 1)):
        pixels = np.concatenate(
            [b["image"][(b["label"] == label) & (b["weight"] == 1)] for b in batches]
        )
        assert len(pixels) >= 8
        np.testing.assert_allclose(pixels, level / 255, atol=3 / 255)


def test_a_photograph_is_turned_upright(folder):
    image = Image.new("L", (20, 20))
    image.paste(255, (0, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half a circle
    for name in ("cat", "dog"):
        for n in range(10):
            for old in (folder / name).glob(f"{n}.*"):
                old.unlink()
            image.save(folder / name / f"{n}.jpg", exif=exif)
    picture = own(folder, channels="grey").data.train(0, 0)["image"][0]
    assert picture[:6].max() < 0.1 < 0.9 < picture[-6:].min()


def test_grey_of_sixteen_bits_is_scaled_and_not_clipped(folder):
    for name in ("cat", "dog"):
        for old in (folder / name).glob("*.*"):
            if old.is_file():
                old.unlink()
        for n in range(10):
            Image.fromarray(np.full((9, 9), 0x8000, np.uint16)).save(folder / name / f"{n}.png")
    batch = own(folder).data.train(0, 0)
    np.testing.assert_allclose(batch["image"], 128 / 255, atol=1e-6)


def test_an_unreadable_image_is_named(folder):
    (folder / "dog" / "9.jpg").write_bytes((folder / "dog" / "5.jpg").read_bytes()[:200])
    with pytest.raises(InputError, match=r"dog/9\.jpg"):
        own(folder)


def test_a_class_without_images_is_named(folder):
    (folder / "emu").mkdir()
    with pytest.raises(InputError, match="'emu' has no images"):
        own(folder)


def test_a_folder_with_one_class_is_refused(folder):
    (folder / "dog").rename(folder / ".dog")
    with pytest.raises(InputError, match="only 'cat'"):
        own(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="none"):
        own(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 1.0}, "--data.validation 1.0"),
        ({"validation": -0.1}, "--data.validation -0.1"),
        ({"validation": float("nan")}, "--data.validation nan"),
        ({"test": 1.0}, "--data.test 1.0"),
        ({"shift": -1}, "--data.shift -1"),
        ({"shift": 8}, "--data.shift 8 .* 8x8"),
        ({"size": 0}, "--data.size 0"),
        ({"split_seed": -1}, "--data.split-seed -1"),
        ({"batch_size": 0}, "--data.batch-size 0"),
        ({"batch_size": 1500}, "--data.batch-size 1500 .* 129"),
        ({"path": "somewhere"}, "digits are bundled"),
        ({"name": "folder"}, "needs --data.path"),
        ({"name": "folder", "path": "/nonexistent"}, "/nonexistent is no folder"),
        ({"name": "fashion_mnist", "path": "/nonexistent"}, "/nonexistent is no folder"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        load_images(replace(ImageData(), **options))
    assert "\n" not in str(error.value)


def test_folds_test_on_every_digit_once() -> None:
    found = [
        image[weight > 0].reshape(-1, 64)
        for fold in range(4)
        for image, weight in (
            (batch["image"], batch["weight"])
            for batch in load_images(ImageData(folds=4, fold=fold)).data.splits["test"]
        )
    ]
    rows = np.concatenate(found)
    expected = load_digits().data / 16
    assert len(rows) == len(expected)
    np.testing.assert_array_equal(
        rows[np.lexsort(rows.T)], expected.astype(np.float32)[np.lexsort(expected.T)]
    )
