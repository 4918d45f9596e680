"""What is looked up of an example is what its source says of it, whether it is read or not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigmodel.data.images.images import ImageData, load_images
from bigmodel.data.sequences.sequences import image_rows
from bigmodel.data.tables.large import blocks
from bigmodel.data.tables.table import TableData, load_table
from bigmodel.data.texts.labelled_text import LabelledTextData, load_labelled_text
from bigmodel.experiment import InputError

SITES = ("north", "south", "")


def table(folder: Path, name: str, rows: int, first: int = 0) -> str:
    path = folder / name
    lines = [f"{n},{SITES[n % 3]},{n % 7},1.{n % 12 + 1}.{1980 + n % 5},{'ab'[n % 2]}"
             for n in range(first, first + rows)]  # fmt: skip
    path.write_text("\n".join(["id,site,size,born,grade", "", *lines]))
    return str(path)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("tested", [False, True])
def test_columns_of_a_table_are_in_the_order_of_a_split(
    tmp_path: Path, tested: bool, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(blocks, "LARGE", -1)
    cache = str(tmp_path / "cache")
    options = TableData(
        "csv",
        cache=cache,
        path=table(tmp_path, "a.csv", 60),
        test_path=table(tmp_path, "b.csv", 30, first=100) if tested else "",
        ignore=("id", "site", "born"),
        target="grade",
        batch_size=8,
    )
    data, reader = load_table(options)
    other = load_table(
        TableData("csv", path=options.path, cache=cache, target="grade"), assets=reader.dump()
    ).data
    for some, splits in ((data, ("validation", "test")), (other, ("test",))):
        for split in splits:
            ids = some.column(split, "id", option="--by")
            batches = some.splits[split]
            label = np.concatenate([batch["label"] for batch in batches])[: len(ids)]
            assert label.tolist() == (ids % 2).tolist()
            assert [int(row["size"]) for row in some.inputs[split]] == (ids % 7).tolist()
            sites = some.column(split, "site", option="--by")
            assert sites.tolist() == [SITES[int(n) % 3] for n in ids]
            assert some.column(split, "born", option="--by").tolist() == (1980 + ids % 5).tolist()
    assert (data.column("test", "id", option="--by").min() >= 100) == tested
    with pytest.raises(InputError, match=r"--by: .*csv has no column 'syte'; did you mean 'site'"):
        data.column("test", "syte", option="--by")


def test_training_examples_are_seen_in_order_and_as_they_are() -> None:
    images = load_images(ImageData(shift=2, flip=True))
    seen = np.concatenate([batch["image"] for batch in images.data.seen])
    weight = np.concatenate([batch["weight"] for batch in images.data.seen])
    assert weight.sum() == 1797 - sum(map(len, images.data.inputs.values()))
    plain = load_images(ImageData()).data
    drawn = np.concatenate([plain.train(0, step)["image"] for step in range(10)])
    known = {image.tobytes() for image in seen[weight > 0]}
    assert all(image.tobytes() in known for image in drawn)
    rows = image_rows(images).data.seen
    assert np.array_equal(rows[3]["sequence"].ravel(), images.data.seen[3]["image"].ravel())


def test_images_in_folders_have_a_path_and_a_subfolder(tmp_path: Path) -> None:
    for n in range(40):
        path = tmp_path / ("cat", "dog")[n % 2] / ("in/side", "out", "")[n % 3] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 6 * n, np.uint8)).save(path)
    options = ImageData("folder", path=str(tmp_path), size=4, channels="grey", batch_size=8)
    images = load_images(options)
    other = load_images(options, assets=images.reader.dump())
    for data, count in ((images.data, 8), (other.data, 40)):
        paths = data.column("test", "path", option="--by")
        folders = data.column("test", "subfolder", option="--by")
        assert len(paths) == len(data.inputs["test"]) == count
        for path, folder, pixels in zip(paths, folders, data.inputs["test"], strict=True):
            n = int(Path(path).stem)
            assert (tmp_path / path).is_file()
            assert folder == ("in/side", "out", "")[n % 3]
            assert pixels[0, 0, 0] == 6 * n
        assert data.splits["test"][0].keys() == {"image", "label", "weight"}


def test_texts_have_the_line_that_they_are_on(tmp_path: Path) -> None:
    path = tmp_path / "texts.tsv"
    path.write_text("".join(f"{'ab'[n % 2]}\ttext number {n}\n\n" for n in range(40)))
    data = load_labelled_text(LabelledTextData(path=str(path), batch_size=4)).data
    lines = data.column("test", "line", option="--by")
    texts = [f"text number {(int(line) - 1) // 2}" for line in lines]
    assert list(data.inputs["test"]) == texts
