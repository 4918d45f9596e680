import json
import pickle
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.pretrained.formats.safetensors import INDEX, read_folder, read_safetensors
from bigmodel.pretrained.source import read_foreign


def content(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    return length.to_bytes(8, "little") + text + body


def entry(start, stop, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_tensors_are_read_only_views_of_what_the_package_writes(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(0)
    given = {
        "a": random.normal(size=(3, 5)).astype(np.float32),
        "half": random.normal(size=7).astype(np.float16),
        "brain": random.normal(size=(2, 2)).astype(ml_dtypes.bfloat16),
        "count": np.array(3, np.int64),
        "none": np.zeros((0, 4), np.float64),
        "mask": np.array([True, False]),
    }
    package.save_file(given, tmp_path / "x.safetensors", {"format": "pt"})
    found = read_safetensors(tmp_path / "x.safetensors")
    assert found.keys() == given.keys()
    for name, array in given.items():
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable
        np.testing.assert_array_equal(found[name], array)


HOSTILE = {
    "empty": b"",
    "no header": b"\0" * 8,
    "header longer than the file": content({}, length=10**6),
    "header as long as can be": content({}, length=2**64 - 1),
    "no JSON": content(b"{nothing}"),
    "no UTF-8": content(b'{"\xff": 1}'),
    "a list": content([1, 2]),
    "deep": content(b"[" * 100_000),
    "a name twice": content(b'{"a": {}, "a": {}}'),
    "no entry": content({"a": 1}, b"x" * 8),
    "no offsets": content({"a": {"dtype": "F32", "shape": [2]}}, b"x" * 8),
    "truncated": content({"a": entry(0, 8, [2])}, b"x" * 7),
    "overlapping": content({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, b"x" * 12),
    "backwards": content({"a": entry(8, 0, [2])}, b"x" * 8),
    "negative": content({"a": entry(-8, 0, [2])}, b"x" * 8),
    "negative shape": content({"a": entry(0, 8, [-1, -2])}, b"x" * 8),
    "huge shape": content({"a": entry(0, 8, [2**40, 2**40])}, b"x" * 8),
    "huge empty shape": content({"a": entry(0, 0, [0, 2**62, 2**62])}),
    "no number": content({"a": entry(0, 8, [2.0])}, b"x" * 8),
    "true": content({"a": entry(0, 4, [True])}, b"x" * 4),
    "another type": content({"a": entry(0, 8, [8], "F4")}, b"x" * 8),
    "a type of no name": content({"a": entry(0, 8, [8], [1])}, b"x" * 8),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_or_hostile_file_is_a_line_and_no_memory(name, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(InputError, match=str(path)) as refused:
        read_safetensors(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def sharded(folder, places, files):
    for name, header in files.items():
        size = max(stop for each in header.values() for stop in each["data_offsets"])
        (folder / name).write_bytes(content(header, b"\0" * size))
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))


FILES = {"1.safetensors": {"a": entry(0, 8, [2])}, "2.safetensors": {"b": entry(0, 4, [1])}}
PLACES = {"a": "1.safetensors", "b": "2.safetensors"}


def test_the_parts_of_an_index_are_one(tmp_path):
    sharded(tmp_path, PLACES, FILES)
    found = read_folder(tmp_path)
    assert {name: array.shape for name, array in found.by_name.items()} == {"a": (2,), "b": (1,)}
    assert {file.name for file in found.files} == {INDEX, *FILES}
    (tmp_path / INDEX).unlink()
    assert read_folder(tmp_path).by_name.keys() == {"a", "b"}
    (tmp_path / "3.safetensors").write_bytes((tmp_path / "2.safetensors").read_bytes())
    with pytest.raises(InputError, match="has b in two files"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({**PLACES, "c": "../1.safetensors"}, r"names '../1.safetensors'"),
        ({**PLACES, "c": "/etc/passwd"}, "/etc/passwd"),
        ({**PLACES, "c": 3}, "names '3'"),
        ({**PLACES, "c": "2.safetensors"}, "has no c, which"),
        ({**PLACES, "c": "3.safetensors"}, "cannot read .*3.safetensors"),
        ({}, "no weight_map"),
        ([1], "no weight_map"),
    ],
    ids=str,
)
def test_an_index_that_points_elsewhere_is_refused(places, said, tmp_path):
    sharded(tmp_path, places, FILES)
    with pytest.raises((InputError, StorageError), match=said):
        read_folder(tmp_path)


class Hostile:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "x.pth"])
def test_pickles_are_refused_with_the_command_that_converts_them(name, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps(Hostile()))
    (tmp_path / "config.json").write_text(
        '{"model_type": "gpt2", "n_embd": 4, "n_layer": 1, "n_head": 1, "n_positions": 2}'
    )
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(
            InputError, match=r"convert it in its folder: python -c .*torch.load"
        ) as no:
            read_foreign(path)
        assert "\n" not in str(no.value)


def test_what_is_no_folder_of_weights_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_foreign(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no folder with config\.json"):
        read_foreign(tmp_path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is no JSON"):
        read_foreign(tmp_path)
