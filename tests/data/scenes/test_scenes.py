"""Scenes that are composed, and folders of images with masks or boxes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bigmodel.data.scenes.boxes import BoxReader, load_boxes
from bigmodel.data.scenes.composing import by_class, compose
from bigmodel.data.scenes.cutouts import digit_material
from bigmodel.data.scenes.masks import load_masks
from bigmodel.data.scenes.scenes import SceneData, _divided
from bigmodel.experiment import InputError

DIGITS = SceneData(size=32, scenes=40, batch_size=6)


@pytest.mark.parametrize("load", [load_masks, load_boxes])
def test_a_batch_is_the_same_in_parts_and_another_one_at_each_step(load):
    data = load(DIGITS).data
    whole = data.train(1, 2, slice(0, 6))
    parts = [data.train(1, 2, rows) for rows in (slice(0, 1), slice(1, 6))]
    for name, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)
    assert not np.array_equal(data.train(1, 3, slice(0, 6))["image"], whole["image"])
    assert not np.array_equal(data.train(2, 2, slice(0, 6))["image"], whole["image"])
    assert [len(batches) for batches in data.splits.values()] == [2, 2]
    assert load(DIGITS).data.fingerprint == data.fingerprint
    assert load(replace(DIGITS, objects=3)).data.fingerprint != data.fingerprint


def test_no_object_is_in_two_parts():
    material = digit_material()
    parts = _divided(DIGITS, material, whole=False)
    rows = np.concatenate(list(parts.values()))
    assert set(parts) == {"train", "validation", "test"}
    assert sorted(rows) == list(range(1797))


def test_boxes_are_the_edges_of_what_the_mask_has():
    material = digit_material()
    classes = by_class(material.cutouts)
    seen = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        scene = compose(random, classes, material, size=32, objects=1)
        assert len(scene.boxes) == len(scene.labels) == len(set(scene.mask.ravel()) - {0})
        for box, label in zip(scene.boxes, scene.labels, strict=True):
            rows, columns = np.nonzero(scene.mask == label)
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_array_equal(box * 32, edges)
            seen += 1
    assert 5 < seen < 25


def test_many_objects_hardly_cover_each_other():
    material = digit_material()
    random = np.random.default_rng(0)
    scene = compose(random, by_class(material.cutouts), material, size=64, objects=40)
    assert len(scene.boxes) > 1
    assert set(scene.mask.ravel()) == {0, *scene.labels.tolist()}


@pytest.fixture
def masked(tmp_path):
    """Ten images of 20x12 with a square of class 1 or 2, and a pixel that does not count."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "classes.txt").write_text("ground\ncat\ndog\n", encoding="utf-8")
    for number in range(10):
        mask = np.zeros((12, 20), np.uint8)
        mask[2:8, 4:12] = 1 + number % 2
        mask[-1, -1] = 255
        Image.fromarray(np.repeat(mask[..., None] * 100, 3, 2)).save(
            tmp_path / "images" / f"{number}.jpg"
        )
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def own(path, **options):
    return SceneData("folder", path=str(path), **{"size": 8, "batch_size": 4} | options)


def test_a_folder_of_masks_becomes_arrays(masked):
    scenes = load_masks(own(masked))
    assert scenes.reader.names == ("ground", "cat", "dog")
    batch = scenes.data.train(0, 0, slice(0, 4))
    assert {name: (array.dtype.str, array.shape) for name, array in batch.items()} == {
        "image": ("<f4", (4, 8, 8, 3)),
        "mask": ("<i4", (4, 8, 8)),
        "weight": ("<f4", (4,)),
    }
    assert set(np.unique(batch["mask"])) <= {0, 1, 2, 255}
    encoded = scenes.reader.encode([masked / "images" / "0.jpg"])
    assert encoded["image"].shape == (1, 8, 8, 3)


def test_masks_with_a_palette_have_its_numbers_and_classes_those_of_a_run(masked):
    for number in range(10):
        path = masked / "masks" / f"{number}.png"
        with Image.open(path) as image:
            mask = np.asarray(image)
        drawn = Image.fromarray(mask)
        drawn.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0] + [0] * 759)
        drawn.save(path)
    run = load_masks(own(masked))
    before = run.data.splits["test"]
    (masked / "classes.txt").write_text("ground\ndog\ncat\n", encoding="utf-8")
    other = load_masks(own(masked), run.data.assets)
    assert other.reader == run.reader
    count = sum(int(batch["weight"].sum()) for batch in other.data.splits["test"])
    assert (list(other.data.splits), count) == (["test"], 10)
    assert set(np.unique(before[0]["mask"][before[0]["weight"] > 0])) <= {0, 1, 2, 255}


def spoil_size(path):
    Image.new("L", (20, 13)).save(path / "masks" / "3.png")


def spoil_class(path):
    Image.new("L", (20, 12), 7).save(path / "masks" / "3.png")


def spoil_colour(path):
    Image.new("RGB", (20, 12)).save(path / "masks" / "3.png")


def spoil_all(path):
    Image.new("L", (20, 12), 255).save(path / "masks" / "3.png")


def cut_mask(path):
    whole = (path / "masks" / "3.png").read_bytes()
    (path / "masks" / "3.png").write_bytes(whole[: len(whole) // 2])


def cut_image(path):
    (path / "images" / "3.jpg").write_bytes(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_size, r"3\.png has 20x13 pixels, and its image 3\.jpg has 20x12"),
        (spoil_class, r"3\.png has the class 7, and classes\.txt has 3 names"),
        (spoil_colour, r"3\.png is an image of mode RGB"),
        (cut_mask, r"3\.png cannot be read as an image"),
        (cut_image, r"3\.jpg cannot be read as an image"),
        (lambda path: (path / "masks" / "3.png").unlink(), r"3\.jpg has no mask of the same name"),
        (lambda path: (path / "images" / "3.jpg").unlink(), r"3\.png has no image of the same"),
        (lambda path: (path / "classes.txt").unlink(), r"classes\.txt is missing"),
        (lambda path: (path / "classes.txt").write_text("a\na\n"), "names that differ"),
        (lambda path: (path / "classes.txt").write_text("a\n\nb\n"), "one on each line"),
        (spoil_all, r"3\.png has no pixel that counts"),
    ],
)
def test_a_folder_of_masks_that_cannot_be_used_is_refused(masked, spoil, message):
    spoil(masked)
    with pytest.raises(InputError, match=message):
        load_masks(own(masked))


@pytest.fixture
def annotated(tmp_path):
    """Six images of 40x20; the last has no object, and one box is around a crowd."""
    for number in range(6):
        Image.new("RGB", (40, 20), (number * 40, 0, 0)).save(tmp_path / f"{number}.png")
    told = {
        "images": [{"id": 7 + n, "file_name": f"{n}.png"} for n in range(6)],
        "categories": [{"id": 30, "name": "dog"}, {"id": 20, "name": "cat"}],
        "annotations": [
            {"id": n, "image_id": 7 + n, "category_id": 20 + 10 * (n % 2), "bbox": [4, 5, 20, 10]}
            for n in range(5)
        ],
    }
    told["annotations"].append(
        {"id": 9, "image_id": 7, "category_id": 20, "bbox": [0, 0, 1, 1], "iscrowd": 1}
    )
    (tmp_path / "annotations.json").write_text(json.dumps(told), encoding="utf-8")
    return tmp_path


def test_a_folder_of_boxes_becomes_shares_of_the_images(annotated):
    scenes = load_boxes(own(annotated, batch_size=2))
    assert scenes.reader.images.names == ("background", "cat", "dog")
    whole = load_boxes(own(annotated, batch_size=6), scenes.data.assets).data.splits["test"][0]
    np.testing.assert_array_equal(whole["labels"], [[1], [2], [1], [2], [1], [0]])
    np.testing.assert_allclose(whole["boxes"][0, 0], [0.1, 0.25, 0.6, 0.75])
    encoded = scenes.reader.encode([annotated / "0.png", np.zeros((8, 8, 3), np.uint8)])
    np.testing.assert_array_equal(encoded["sides"], [[40, 20], [8, 8]])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bbox", [30, 5, 20, 10], "lies outside of the image, which has 40x20"),
        ("bbox", [40.2, 5, 0.5, 10], "lies outside of the image, which has 40x20"),
        ("bbox", [1, 2, 10**400, 3], "is not .left, top, width, height."),
        ("image_id", [7], "of no image or of no category"),
        ("bbox", [1, 2, 0, 3], "has no area"),
        ("bbox", [1, 2, float("nan"), 3], "has no area"),
        ("bbox", "abcd", "is not .left, top, width, height."),
        ("image_id", 99, "of no image or of no category"),
        ("category_id", 99, "of no image or of no category"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_refused(annotated, key, value, message):
    path = annotated / "annotations.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    told["annotations"][2][key] = value
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(InputError, match=rf"annotation 2.*{message}"):
        load_boxes(own(annotated))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 8}, "two of the images have the same id"),
        ({"file_name": "1.png"}, r"lists .*1\.png twice"),
        ({"file_name": "none.png"}, "lists 'none.png', and there is no"),
        ({"width": 20, "height": 40}, r"says that .*0\.png has 20x40 pixels, and it has 40x20"),
    ],
)
def test_an_image_that_is_not_told_right_is_refused(annotated, change, message):
    path = annotated / "annotations.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    told["images"][0] |= change
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_boxes(own(annotated))


@pytest.mark.parametrize("content", ["[]", "{", "[[[[[", '{"images": [1]}', '{"images": []}'])
def test_a_file_that_is_not_cocos_is_refused(annotated, content):
    (annotated / "annotations.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"annotations\.json is not in COCO's format"):
        load_boxes(own(annotated))


def test_a_camera_held_upright_gives_upright_sides(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    reader = BoxReader(load_masks(DIGITS).reader)
    assert reader.encode([tmp_path / "a.jpg"])["sides"].tolist() == [[20, 40]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "folder"}, "needs --data.path"),
        ({"path": "x"}, "digits are bundled"),
        ({"test_path": "x"}, "leave it out"),
        ({"size": 8}, "too small for objects"),
        ({"objects": 10**6}, "use 32 or less"),
        ({"size": 10**5}, "1024 scenes of 100000x100000 pixels need .* GB of memory"),
        ({"name": "stamps", "path": "nowhere"}, "no stamps of the class 'animal'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        load_masks(SceneData(**options))
