import gzip
import struct

import numpy as np
import pytest

from bigmodel.data.images import fashion_mnist
from bigmodel.data.images.images import ImageData, load_images

RNG = np.random.default_rng(0)


def real(batches, name):
    return np.concatenate([batch[name][batch["weight"] == 1] for batch in batches])


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


def fashion(path, **options):
    return load_images(ImageData("fashion_mnist", path=str(path), batch_size=8, **options))


def test_augmentation_is_for_training_alone(idx):
    plain, moved = fashion(idx).data, fashion(idx, shift=2, flip=True).data
    for name in ("validation", "test"):
        for a, b in zip(plain.splits[name], moved.splits[name], strict=True):
            np.testing.assert_array_equal(a["image"], b["image"])
    assert not np.array_equal(plain.train(0, 1)["image"], moved.train(0, 1)["image"])


def test_idx_files_are_the_test_set_in_order_scaled_to_the_unit_range(idx):
    images = fashion(idx, validation=0.0)
    content = (idx / "t10k-images-idx3-ubyte").read_bytes()
    expected = np.frombuffer(content, np.uint8, offset=16).reshape(20, 5, 4, 1) / 255
    got = images.data.receive({"image": real(images.data.splits["test"], "image")})["image"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_array_equal(real(images.data.splits["test"], "label"), np.arange(20) % 10)
    assert images.names == fashion_mnist.NAMES


def test_one_byte_of_any_image_or_label_is_other_data(idx):
    prints = {fashion(idx).data.fingerprint}
    changes = 0
    for path in sorted(idx.iterdir()):
        content = path.read_bytes()
        plain = gzip.decompress(content) if path.suffix else content
        head, stride = (16, 12) if "images" in path.name else (8, 1)
        for at in range(head, len(plain), stride):
            path.write_bytes(plain[:at] + bytes([plain[at] ^ 1]) + plain[at + 1 :])
            prints.add(fashion(idx).data.fingerprint)
            changes += 1
        path.write_bytes(content)
    assert len(prints) == changes + 1 > 100


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


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("t10k-images-idx3-ubyte", None, r"holds neither t10k-images-idx3-ubyte nor .*\.gz"),
        ("train-images-idx3-ubyte", np.zeros(40), r"idx3-ubyte .* 0x00000801.* 0x00000803"),
        ("train-labels-idx1-ubyte.gz", np.zeros(39), r"40 images.*39 labels"),
        ("train-labels-idx1-ubyte.gz", np.full(40, 10), "label 10"),
        ("t10k-images-idx3-ubyte", np.zeros((20, 4, 4)), r"5, 4.*4, 4"),
    ],
)
def test_idx_files_that_do_not_fit_are_named(idx, name, array, message, refused):
    if array is None:
        (idx / name).unlink()
    else:
        write_idx(idx / name, array)
    with refused(message):
        fashion(idx)


@pytest.mark.parametrize("keep", [0, 3, 10, -1])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"])
def test_a_truncated_idx_file_is_named(idx, name, keep, refused):
    content = (idx / name).read_bytes()
    (idx / name).write_bytes(content[:keep])
    with refused(name):
        fashion(idx)
