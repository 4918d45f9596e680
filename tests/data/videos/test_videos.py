"""Clips that are made, and folders of frames."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from bigmodel.data.samples import dump_samples
from bigmodel.data.videos.reading import video_reader
from bigmodel.data.videos.videos import DIRECTIONS, VideoData, load_videos, moving
from bigmodel.experiment import InputError

DIGITS = VideoData(clips=80, frames=3, size=12, batch_size=6)


def test_rows_of_a_batch_are_those_of_the_whole():
    data, reader = load_videos(DIGITS)
    whole, part = data.train(1, 2), data.train(1, 2, slice(2, 5))
    for name, array in whole.items():
        np.testing.assert_array_equal(part[name], array[2:5])
    assert whole["video"].shape == (6, 3, 12, 12, 1)
    assert not np.array_equal(data.train(1, 3)["video"], whole["video"])
    assert video_reader(data.assets) == reader
    assert {part: len(clips) for part, clips in data.inputs.items()} == {
        "validation": 10,
        "test": 10,
    }


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_digit_moves_where_its_class_says(direction):
    ink = np.full((8, 8), 255, np.uint8)
    for seed in range(5):
        random = np.random.default_rng(seed)
        clip = moving(random, ink, DIRECTIONS[direction], VideoData(frames=4, size=16))
        places = np.array([np.argwhere(frame[..., 0] == 255).mean(axis=0) for frame in clip])
        assert all((frame == 255).sum() == 64 for frame in clip)
        steps = np.diff(places, axis=0)
        np.testing.assert_array_equal(np.sign(steps), [DIRECTIONS[direction]] * 3)


@pytest.fixture
def folder(tmp_path):
    """Two classes of five clips of four frames each, brighter from frame to frame."""
    for label, name in enumerate(("a", "b")):
        for clip in range(5):
            place = tmp_path / name / f"clip {clip}"
            place.mkdir(parents=True)
            for frame in range(4):
                level = 100 * label + 10 * clip + frame
                Image.new("L", (9, 7), level).save(place / f"{frame}.png")
    return tmp_path


def own(path, **options):
    return VideoData(
        "folder", path=str(path), **{"size": 6, "frames": 2, "batch_size": 2} | options
    )


def test_folders_of_frames_become_clips(folder):
    data, reader = load_videos(own(folder, channels="grey"))
    assert (reader.names, reader.shape) == (("a", "b"), (2, 6, 6, 1))
    video = reader.encode([folder / "b" / "clip 1"])["video"]
    np.testing.assert_allclose(video[0, :, 0, 0, 0], np.array([110, 113]) / 255, atol=1e-6)
    shutil.rmtree(folder / "a")
    with pytest.raises(InputError, match="has 1 classes, a folder each; it needs 2"):
        load_videos(own(folder))
    (batch, *_) = load_videos(own(folder), data.assets).data.splits["test"]
    assert batch["label"].tolist() == [1, 1]
    with pytest.raises(InputError, match="has 0 classes, a folder each; it needs 1"):
        load_videos(own(folder / "b" / "clip 1"), data.assets)


def test_samples_are_clips_as_numbers_that_are_read_again(folder):
    data, reader = load_videos(own(folder))
    clips = data.inputs["test"]
    samples = json.loads(dump_samples(data.inputs))
    assert len(samples) == len(clips)
    found, expected = reader.encode(samples)["video"], reader.encode(clips)["video"]
    np.testing.assert_allclose(found, expected, atol=1 / 255 / 2)


def test_clips_of_fewer_frames_have_some_twice_and_this_is_said(folder, capsys):
    load = load_videos(own(folder, frames=6, channels="grey"))
    assert "10 clips have fewer than 6 frames, such as" in capsys.readouterr().err
    video = load.reader.encode([folder / "a" / "clip 0"])["video"]
    assert np.rint(video[0, :, 0, 0, 0] * 255).tolist() == [0, 1, 1, 2, 2, 3]
    with pytest.raises(InputError, match=r"^cannot be read as a folder of frames: Not a dir"):
        load.reader.encode([folder / "a" / "clip 0" / "0.png"])


def test_frames_are_in_the_order_of_their_numbers(folder):
    place = folder / "a" / "clip 0"
    (place / "0.png").rename(place / "frame 10.png")
    for frame in (1, 2, 3):
        (place / f"{frame}.png").rename(place / f"frame {frame}.png")
    load = load_videos(own(folder, frames=4, channels="grey"))
    video = load.reader.encode([place])["video"]
    np.testing.assert_allclose(video[0, :, 0, 0, 0] * 255, [1, 2, 3, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "a" / "clip 0" / "0.png").write_bytes(b"no"), r"0\.png cannot be"),
        (lambda path: [f.unlink() for f in (path / "a" / "clip 0").iterdir()], "has no frames"),
        (lambda path: (path / "c").mkdir(), "has no clips"),
    ],
)
def test_clips_that_cannot_be_used_are_named(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        load_videos(own(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "folder"}, "needs --data.path"),
        ({"path": "x"}, "digits are bundled"),
        ({"size": 9}, "digits move"),
        ({"frames": 1}, "digits move"),
        ({"size": 10**5}, "1024 clips need .* GB of memory"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        load_videos(VideoData(**options))
