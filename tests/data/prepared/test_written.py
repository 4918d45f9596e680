"""What a program has written below the data is no data, for every reader of folders."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bigmodel.data import ImageData, VideoData, load_images, load_videos
from bigmodel.data.prepared.cache import prepared
from bigmodel.data.prepared.written import is_written
from bigmodel.data.texts.shards.paths import text_files
from bigmodel.run_directory import directory
from bigmodel.runtime import cross_validation
from bigmodel.studies import study


def made(path: Path) -> None:
    """A run, a study and prepared data, each with a text and a picture."""
    for place, names in {
        "runs/one": (directory.CONFIG, directory.MANIFEST),
        "runs/deep/two": (directory.CONFIG, directory.METRICS),
        "runs/folded": (cross_validation.FOLDS,),
        "runs/folded/fold-0": (directory.CONFIG, directory.MANIFEST),
        "studies/three": (study.STUDY,),
    }.items():
        for name in (*names, "figures/sample-0.txt"):
            (path / place / name).parent.mkdir(parents=True, exist_ok=True)
            (path / place / name).write_text("{}")
        picture(path / place / "figures" / "grid-0.png")
    cache = str(path / "cache")
    prepared("text", {}, lambda folder: picture(folder / "0.png"), cache=cache)


def picture(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)


def texts(path: Path) -> object:
    for name in ("a.txt", "b/c.txt"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("text")
    return text_files(str(path))


def images(path: Path) -> object:
    for n in range(20):
        picture(path / "ab"[n % 2] / f"{n}.png", n)
    return load_images(ImageData("folder", path=str(path), size=8, batch_size=4)).names


def clips(path: Path) -> object:
    for n in range(20):
        picture(path / "ab"[n % 2] / f"{n // 4}" / f"{n % 4}.png")
    options = VideoData("folder", path=str(path), size=8, frames=2, batch_size=2)
    return load_videos(options).reader.names


@pytest.mark.parametrize("read", [texts, images, clips])
def test_what_runs_have_written_is_no_data(tmp_path: Path, read: Callable[[Path], object]) -> None:
    before = read(tmp_path)
    made(tmp_path)
    assert read(tmp_path) == before


def test_a_folder_of_runs_and_something_else_is_data(tmp_path: Path) -> None:
    made(tmp_path)
    assert not is_written(tmp_path / "runs" / "one" / "figures")
    assert is_written(tmp_path / "runs")
    (tmp_path / "runs" / "mine").mkdir()
    assert not is_written(tmp_path / "runs")
    assert not is_written(tmp_path / "nowhere")
