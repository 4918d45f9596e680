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


def pictures(path, draw, classes=("cat", "dog"), suffix="png", **options):
    """Ten images of each class, which `draw` makes of 0 to 9, 100 to 109 and so on."""
    for label, name in enumerate(classes):
        (path / name).mkdir(parents=True, exist_ok=True)
        for n in range(10):
            draw(100 * label + n).save(path / name / f"{n}.{suffix}", **options)
    return path


def by_class(images):
    """All training pixels of each class."""
    data = images.data
    found = {0: [], 1: []}
    for step in range(data.steps_per_epoch):
        batch = data.train(0, step)
        for image, label in zip(batch["image"], batch["label"], strict=True):
            found[int(label)].append(image)
    return {label: np.stack(pixels) for label, pixels in found.items()}


def test_a_photograph_is_turned_upright(tmp_path):
    def draw(level):
        image = Image.new("L", (20, 20))
        image.paste(255 - level // 2, (0, 0, 20, 10))
        return image

    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half a circle
    pictures(tmp_path, draw, suffix="jpg", exif=exif)
    picture = own(tmp_path, channels="grey").data.train(0, 0)["image"][0]
    assert picture[:6].max() < 0.1 < 0.7 < picture[-6:].min()


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("RGBA", "gif")]
)
@pytest.mark.parametrize(("background", "level"), [("white", 1.0), ("black", 0.0)])
def test_what_is_transparent_shows_the_background(tmp_path, mode, suffix, background, level):
    def draw(level):
        # Black everywhere: the drawing, a grey bar in the upper or the lower half, is in alpha.
        image = np.zeros((16, 16, 4), np.uint8)
        image[slice(0, 8) if level >= 100 else slice(8, 16)] = (128, 128, 128, 255)
        found = Image.fromarray(image)
        return found.convert(mode) if mode != "P" else found.quantize()

    found = by_class(own(pictures(tmp_path, draw, suffix=suffix), background=background))
    for label, (bar, ground) in (
        (0, (slice(8, 16), slice(0, 8))),
        (1, (slice(0, 8), slice(8, 16))),
    ):
        np.testing.assert_allclose(found[label][:, bar], 128 / 255, atol=0.02)
        np.testing.assert_allclose(found[label][:, ground], level)


@pytest.mark.parametrize(
    ("dtype", "levels"),
    [
        (np.float32, (0.2, 0.8)),
        (np.float32, (-1000, 3000)),
        (np.float32, (1e-6, 2e-6)),
        (np.int32, (5, 70_000)),
        (np.uint16, (3, 40)),
        (np.uint16, (100, 65_535)),
    ],
)
@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_more_than_8_bits_are_scaled_by_the_training_images(
    tmp_path, capsys, dtype, levels, channels
):
    def draw(level):
        return Image.fromarray(np.full((9, 9), levels[level // 100], dtype))

    found = by_class(own(pictures(tmp_path, draw, suffix="tif"), channels=channels))
    assert found[0].shape[-1] == {"grey": 1, "rgb": 3}[channels]
    assert (found[0] == 0).all()
    assert (found[1] == 1).all()
    low, high = levels
    assert f"values from {low:g} to {high:g} become 0 to 1" in capsys.readouterr().err


def test_images_of_8_bits_and_of_more_do_not_go_together(folder):
    Image.fromarray(np.full((9, 9), 0x8000, np.uint16)).save(folder / "dog" / "deep.png")
    with pytest.raises(InputError, match=r"dog/deep.png has more than 8 bits.*cat/0.png has 8"):
        own(folder)


def test_training_images_that_are_all_equal_are_refused(tmp_path):
    pictures(tmp_path, lambda level: Image.new("RGBA", (8, 8), (level, 0, 0, 0)))
    with pytest.raises(InputError, match=r"all 14 training images are equal .* --data.background"):
        own(tmp_path)


def test_pixels_that_are_no_numbers_are_named(tmp_path):
    pictures(tmp_path, lambda level: Image.fromarray(np.float32([[level, np.nan]])), suffix="tif")
    with pytest.raises(InputError, match=r"cat/0.tif has pixels that are no finite numbers"):
        own(tmp_path)


def test_the_first_frame_of_an_animation_is_read_and_that_is_said(tmp_path, capsys):
    frames = [Image.new("L", (8, 8), 255)]
    pictures(tmp_path, shades, suffix="gif", save_all=True, append_images=frames)
    assert by_class(own(tmp_path))[1].max() < 0.5
    assert "20 images have several frames, such as" in capsys.readouterr().err


def shades(level):
    """Each its own."""
    return Image.new("L", (8, 8), level)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "VALID", "testing"),
                                   ("train", "val"), ("train", "test"), ("train",)])  # fmt: skip
def test_folders_of_parts_are_the_splits(tmp_path, capsys, names):
    for n, part in enumerate(names):
        pictures(tmp_path / part, lambda level, n=n: shades(level + 10 * n))
    images = own(tmp_path, validation=0.2, test=0.2)
    assert images.names == ("cat", "dog")

    def seen(batches):
        pixels = np.concatenate([b["image"][b["weight"] > 0, 0, 0, 0] for b in batches])
        return {round(255 * float(level)) for level in pixels}

    def all_of(number):
        return {100 * label + 10 * number + n for label in (0, 1) for n in range(10)}

    data = images.data
    train = seen(data.train(0, step) for step in range(data.steps_per_epoch))
    assert train <= all_of(0)
    for number, part in enumerate(names[1:], start=1):
        split = "test" if part.lower().startswith("test") else "validation"
        assert seen(data.splits[split]) == all_of(number)
    held = [seen(data.splits[split]) for split in ("validation", "test")]
    assert not train & held[0]
    assert not train & held[1]
    assert not held[0] & held[1]
    assert ("is split by its folders: train 20" in capsys.readouterr().err) == (len(names) > 1)


def test_a_folder_for_the_test_is_all_of_the_test(tmp_path):
    for part in ("a", "b"):
        pictures(tmp_path / part, shades)
    images = own(tmp_path / "a", test_path=str(tmp_path / "b"))
    assert sum(batch["weight"].sum() for batch in images.data.splits["test"]) == 20


def test_a_part_without_some_classes_is_used_and_that_is_said(tmp_path, capsys):
    pictures(tmp_path / "train", shades)
    pictures(tmp_path / "test", shades, classes=("dog",))
    images = own(tmp_path)
    assert {int(n) for b in images.data.splits["test"] for n in b["label"][b["weight"] > 0]} == {1}
    assert "test has no images of 1 classes, such as 'cat'" in capsys.readouterr().err


def test_folder_names_that_look_the_same_are_one_class(tmp_path):
    for name in ("gro\u0308\u00dfe", "gr\u00f6\u00dfe", "dog ", "dog"):
        pictures(tmp_path, shades, classes=(name,))
    assert own(tmp_path).names == ("dog", "größe")


def test_links_to_folders_and_files_are_followed(tmp_path):
    pictures(tmp_path / "elsewhere", shades)
    (tmp_path / "data" / "cat" / "more").mkdir(parents=True)
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (tmp_path / "data" / "cat" / "linked").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "data" / "cat" / "one.png").symlink_to(tmp_path / "elsewhere" / "cat" / "0.png")
    data = own(tmp_path / "data", batch_size=1, validation=0.0, test=0.0).data
    assert data.steps_per_epoch == 21


@pytest.mark.parametrize("place", ["cat", "emu", "cat/one.png", "cat/more"])
def test_links_that_lead_nowhere_or_back_are_named(tmp_path, place):
    pictures(tmp_path, shades)
    link = tmp_path / place
    if link.exists():
        link.rename(tmp_path / ".old")
    link.symlink_to("absent")
    with pytest.raises(InputError, match=rf"{place} leads to .*absent, which is not there"):
        own(tmp_path)
    if "/" in place:
        link.unlink()
        link.symlink_to(tmp_path)
        with pytest.raises(InputError, match=rf"{place}.* is a link to a folder that it lies in"):
            own(tmp_path)


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (("train/a", "train/b", "val/a", "val/c"), {}, "val has the class 'c', .* never trained"),
        (("train/a", "train/b", "other/a"), {}, None),
        (("train/a", "train/b", "val/a", "other/a"), {}, "beside 'other'; move one of them"),
        (("val/a", "test/a"), {}, "has a folder for test, validation and none for train"),
        (("train/a", "train/b", "val/a", "valid/a"), {}, "two folders for validation: val, valid"),
        (("train", "val"), {}, "train needs a subfolder for each class; it has none"),
        (("train/a", "train/b", "test/a"), {"folds": 2, "fold": 0}, "--data.folds divides one"),
        (("train/a", "train/b", "test/a"), {"test_path": "."}, "leave --data.test-path out"),
        (("a", "b"), {"test_path": ".", "folds": 2, "fold": 0}, "leave --data.test-path out"),
        (("a", "b"), {"test_path": "absent"}, "--data.test-path absent is no folder"),
        (("a", "b"), {"path": "x" * 300}, "x is no folder"),
        (("a", "b"), {"name": "digits", "path": "", "test_path": "."}, "is for --data.name folder"),
    ],
)
def test_folders_that_are_no_parts_or_classes_are_refused(tmp_path, made, options, message):
    for number, name in enumerate(made):
        pictures(
            tmp_path, lambda level, number=number: shades(level + 10 * number), classes=(name,)
        )
    options = {"name": "folder", "path": str(tmp_path), "batch_size": 4, "size": 8} | options
    if message is None:
        assert load_images(ImageData(**options)).names == ("other", "train")
        return
    with pytest.raises(InputError, match=message) as refused:
        load_images(ImageData(**options))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_damaged_image_is_named(folder, keep):
    (folder / "dog" / "9.jpg").write_bytes((folder / "dog" / "5.jpg").read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cannot read .*dog/9\.jpg as an image"):
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
