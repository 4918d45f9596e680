import io

import numpy as np
import pytest
from PIL import Image

from bigmodel.data.images.images import ImageData, load_images


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


def own(path, **options):
    """Images of a folder, in batches as a network reads them."""
    images = load_images(
        ImageData("folder", path=str(path), **{"batch_size": 4, "size": 16} | options)
    )
    data = images.data
    splits = {name: list(map(data.receive, split)) for name, split in data.splits.items()}
    received = data._replace(train=lambda *which: data.receive(data.train(*which)), splits=splits)
    return images._replace(data=received)


@pytest.mark.parametrize(("channels", "depth"), [("grey", 1), ("rgb", 3)])
def test_a_folder_of_any_formats_and_sizes_becomes_arrays_of_one_shape(folder, channels, depth):
    images = own(folder, channels=channels, validation=0.0, test=0.0)
    assert (images.names, images.shape) == (("cat", "dog"), (16, 16, depth))
    for label, pixels in by_class(images).items():
        assert pixels.shape == (10, 16, 16, depth)
        np.testing.assert_allclose(pixels, (40, 200)[label] / 255, atol=3 / 255)


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


def test_images_of_8_bits_and_of_more_do_not_go_together(folder, refused):
    Image.fromarray(np.full((9, 9), 0x8000, np.uint16)).save(folder / "dog" / "deep.png")
    with refused(r"dog/deep.png has more than 8 bits.*cat/0.png has 8"):
        own(folder)


def test_a_batch_that_the_memory_cannot_hold_is_refused(folder, refused):
    with refused(r"the images of --data.batch-size \d+ need .* GB of memory"):
        own(folder, size=10**6)


def test_training_images_that_are_all_equal_are_refused(tmp_path, refused):
    pictures(tmp_path, lambda level: Image.new("RGBA", (8, 8), (level, 0, 0, 0)))
    with refused(r"all 14 training images are equal .* --data.background"):
        own(tmp_path)


def test_pixels_that_are_no_numbers_are_named(tmp_path, refused):
    pictures(tmp_path, lambda level: Image.fromarray(np.float32([[level, np.nan]])), suffix="tif")
    with refused(r"cat/0.tif has pixels that are no finite numbers"):
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
def test_links_that_lead_nowhere_or_back_are_named(tmp_path, place, refused):
    pictures(tmp_path, shades)
    link = tmp_path / place
    if link.exists():
        link.rename(tmp_path / ".old")
    link.symlink_to("absent")
    with refused(rf"{place} leads to .*absent, which is not there"):
        own(tmp_path)
    if "/" in place:
        link.unlink()
        link.symlink_to(tmp_path)
        with refused(rf"{place}.* is a link to a folder that it lies in"):
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
    ],
)
def test_folders_that_are_no_parts_or_classes_are_refused(
    tmp_path, made, options, message, refused
):
    for number, name in enumerate(made):
        pictures(
            tmp_path, lambda level, number=number: shades(level + 10 * number), classes=(name,)
        )
    options = {"name": "folder", "path": str(tmp_path), "batch_size": 4, "size": 8} | options
    if message is None:
        assert load_images(ImageData(**options)).names == ("other", "train")
        return
    with refused(message):
        load_images(ImageData(**options))


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_damaged_image_is_named(folder, keep, refused):
    (folder / "dog" / "9.jpg").write_bytes((folder / "dog" / "5.jpg").read_bytes()[:keep])
    with refused(r"dog/9\.jpg cannot be read as an image"):
        own(folder)


def avif():
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(stream, "AVIF")
    head, mark, pixels = stream.getvalue().partition(b"mdat")
    return head + mark + bytes(len(pixels))


def dds():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "DDS")
    content = stream.getvalue()
    return content[:80] + b"\4\0\0\0none" + content[88:]


def eps():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "EPS")
    return stream.getvalue().replace(b"%%EndComments", b"%%EndComments\nnonsense")


@pytest.mark.parametrize("damaged", [avif, dds, eps])
def test_a_damaged_image_is_named_whatever_its_decoder_raises(folder, damaged, refused):
    (folder / "dog" / "9.jpg").write_bytes(damaged())
    with refused(r"dog/9\.jpg cannot be read as an image: "):
        own(folder)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ((), "it has none"),
        (("cat/a.png",), "only 'cat'"),
        (("cat/a.png", ".dog/a.png", "x.png"), "only 'cat'"),
        (("cat/a.png", "emu/.hidden"), "the class 'emu' has no images"),
    ],
)
def test_a_folder_without_two_classes_of_images_is_refused(tmp_path, made, message, refused):
    for name in made:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shades(9).save(tmp_path / name, "png")
    with refused(message):
        own(tmp_path)
