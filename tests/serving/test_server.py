"""What a server answers to good requests and to bad ones."""

import base64
import contextlib
import http.client
import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import JSON, Served, serving

from bigmodel.data.samples import dump_samples
from bigmodel.experiment import Batch
from bigmodel.predictor import Predictor
from bigmodel.serving.application import Limits
from bigmodel.serving.metrics import Histogram

ROW = {"sex": "female", "age": 29, "passengerClass": "1st"}


def file(array: Any, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
PICTURE = file(GREY)


def close(one: Any, other: Any) -> bool:
    """Whether two answers with classes are the same up to rounding."""
    return one["class"] == other["class"] and one["probabilities"] == pytest.approx(
        other["probabilities"], abs=1e-5
    )


def npy(array: np.ndarray) -> bytes:
    """A file of an array."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_every_way_to_send_an_image_gets_the_answer_of_the_run(images: Served) -> None:
    expected = images.run.predict([PICTURE])[0]
    text = base64.b64encode(PICTURE).decode()
    array = (GREY / 255).tolist()
    form = (
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'
        + PICTURE
        + b"\r\n--x--\r\n"
    )
    for body, headers in (
        ({"inputs": [text]}, None),
        ({"inputs": [f"data:image/png;base64,{text}"]}, None),
        ({"inputs": [array]}, None),
        (PICTURE, {"Content-Type": "image/png"}),
        (PICTURE, None),
        (form, {"Content-Type": "multipart/form-data; boundary=x"}),
        (npy(GREY[None]), None),
        (npy(GREY[None] / 255), {"Content-Type": "application/octet-stream"}),
    ):
        answer = images.ask(body, headers)
        assert answer.status == 200, answer.value
        assert answer.value["warnings"] == []
        (found,) = answer.value["predictions"]
        assert close(found, expected)
        assert [*found["probabilities"]] == [*expected["probabilities"]]


def test_samples_are_inputs_of_the_test_split_and_are_answered(
    images: Served, rows: Served
) -> None:
    for served in (images, rows):
        samples = json.loads(served.run.assets["samples.json"])
        assert len(samples) == 4
        answer = served.ask({"inputs": samples})
        expected = served.run.predict(samples)
        assert all(map(close, answer.value["predictions"], expected))


def test_samples_are_kept_as_a_request_has_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    inputs = [GREY[..., None], tmp_path / "a.png", {"a": np.float32(0.5)}, "x" * 300_000]
    first, second, third = json.loads(dump_samples({"test": inputs}))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(first))))
    np.testing.assert_array_equal(pixels, GREY)
    assert base64.b64decode(second) == PICTURE
    assert third == {"a": 0.5}
    assert json.loads(dump_samples({})) == []
    assert json.loads(dump_samples({"test": [["Ada", "wrote", "."]]})) == ["Ada wrote ."]


def test_rows_come_as_json_and_as_a_table(rows: Served) -> None:
    expected = rows.run.predict([ROW, {**ROW, "sex": "male"}])
    table = "sex,age,passengerClass\nfemale,29,1st\nmale,29,1st\n"
    for body, headers in (
        ({"inputs": [ROW, {**ROW, "sex": "male"}]}, None),
        (table, {"Content-Type": "text/csv"}),
        (table.encode("utf-16"), {"Content-Type": "text/csv"}),
    ):
        answer = rows.ask(body, headers)
        assert answer.status == 200, answer.value
        assert all(map(close, answer.value["predictions"], expected))


def test_top_keeps_the_best(images: Served) -> None:
    for answer in (
        images.ask({"inputs": [(GREY / 255).tolist()], "top": 2}),
        images.ask(PICTURE, path="/predict?top=2"),
    ):
        (found,) = answer.value["predictions"]
        assert len(found["probabilities"]) == 2
        assert found["class"] in found["probabilities"]


def test_requests_of_one_moment_are_answered_each_by_its_own(rows: Served) -> None:
    """Good ones, bad ones and ones with warnings, in common batches and larger than one."""
    good = [{**ROW, "age": age} for age in range(20)]
    expected = rows.run.predict(good)

    def ask(number: int) -> None:
        match number % 4:
            case 0:
                answer = rows.ask({"inputs": [{**ROW, "age": "old"}]})
                assert answer.status == 422
                assert answer.value["error"].startswith("input 1: column 'age': 'old' is not a")
            case 1:
                answer = rows.ask({"inputs": [{**ROW, "sex": f"new {number}"}]})
                (warning,) = answer.value["warnings"]
                assert f"such as 'new {number}'" in warning
            case _:
                count = 1 + number % 20
                answer = rows.ask({"inputs": good[:count]})
                assert answer.value["warnings"] == []
                assert len(answer.value["predictions"]) == count
                assert all(map(close, answer.value["predictions"], expected))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(200)))


def test_nothing_is_compiled_after_the_start(images: Served) -> None:
    before = images.run.jitted._cache_size()
    for count in range(1, 20):
        assert images.ask({"inputs": [(GREY / 255).tolist()] * count}).status == 200
    assert images.run.jitted._cache_size() == before


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"", JSON, 400, "the body is no JSON"),
        (b"{", JSON, 400, "the body is no JSON"),
        (b'{"inputs": [NaN]}', JSON, 400, "the body is no JSON"),
        (b"\xff", JSON, 400, "the body is no JSON"),
        (b"[" * 100_000, JSON, 400, "the body is no JSON"),
        ([], None, 422, 'no object with a list: {"inputs": [...]}'),
        ({"inputs": []}, None, 422, "there is no input; give at least one"),
        ({"inputs": ["/etc/passwd"]}, None, 422, "input 1 is not base64 of an image file, or an"),
        ({"inputs": [base64.b64encode(b"x").decode()]}, None, 422, "input 1 is no image of the"),
        ({"inputs": [3]}, None, 422, "input 1 is not base64"),
        ({"inputs": [[[1e999]]]}, None, 400, "the body is no JSON"),
        ({"inputs": [[[10**400]]]}, None, 400, "the body is no JSON"),
        ({"inputs": [[[10**30]]]}, None, 422, "input 1: it is"),
        ({"inputs": [[[0.5]]]}, None, 422, "input 1: it is an array of 1x1x1, and the images"),
        ({"inputs": [GREY.tolist()]}, None, 422, "input 1: its numbers are not from 0 to 1"),
        ({"inputs": [1], "tops": 1}, None, 422, "there is no option 'tops'; there are top and"),
        ({"inputs": [1], "top": 0}, None, 422, "top is how many"),
        ({"inputs": [1], "cut": 2}, None, 422, "cut is true or false"),
        (b"", {"Content-Type": "image/png"}, 422, "the body is no image of the formats AVIF"),
        (file(np.zeros((9000, 9000), np.uint8)), None, 422, "9000x9000 pixels, more than 50,000"),
        (b"%!PS-Adobe EPSF\n%%BoundingBox: 0 0 9 9\n", None, 422, "the body is no image"),
        (b"x", {"Content-Type": "multipart/form-data"}, 400, "the body is no form"),
        (b"x", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        (npy(GREY), None, 422, "the body, row 0: it is"),
        (npy(np.array([[object()]])), None, 422, "the body is no .npy file of rows of num"),
        (npy(GREY[None])[:-1], None, 422, "the body is no .npy file of rows of"),
        (npy(GREY[None]).replace(b"(1, 8", b"(9**9, 8"), None, 422, "the body is no .npy file"),
        (npy(GREY[None]).replace(b"(1, 8", b"(999999, 8"), None, 422, "the body is no .npy file"),
        (npy(GREY[:0, None]), None, 422, "there is no input"),
        (b"x" * 17_000_000, None, 413, "the body is larger than 16,000,000 bytes"),
        ({"inputs": [[]] * 1025}, None, 413, "more than 1024 inputs; send them in parts"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    images: Served, body: Any, headers: dict[str, str] | None, status: int, said: str
) -> None:
    answer = images.ask(body, headers)
    assert answer.status == status
    assert said in answer.value["error"]
    assert "\n" not in answer.value["error"]


def test_a_body_without_a_length_is_cut_off(images: Served) -> None:
    def chunks() -> Any:
        for _ in range(200):
            yield b"x" * 1_000_000

    try:
        answer = images.ask(chunks())
    except (BrokenPipeError, ConnectionResetError):
        return  # the server has hung up before the end
    assert answer.status == 413


def test_other_paths_and_methods_are_refused(images: Served) -> None:
    assert images.ask(path="/other", method="GET").status == 404
    answer = images.ask(path="/predict", method="GET")
    assert answer.status == 405
    assert answer.value == {"error": "Method Not Allowed"}


def test_health_and_metrics_watch_it(images: Served) -> None:
    assert images.ask(path="/health", method="GET").value["step"] == 30
    before, after = [], []
    for counts in (before, after):
        assert images.ask(PICTURE).status == 200
        answer = images.ask(path="/metrics", method="GET")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        for name in ('requests_total{status="200"}', "request_seconds_count", "batch_inputs_sum"):
            counts += re.findall(rf"^bigmodel_{re.escape(name)} (\S+)$", answer.value, re.M)
        assert "bigmodel_queue_inputs 0\n" in answer.value
    assert [float(count) for count in after] == [float(count) + 1 for count in before]


def test_buckets_of_a_histogram_add_up() -> None:
    histogram = Histogram([1, 2])
    for value in (0.5, 1, 1.5, 3):
        histogram.add(value)
    assert [*histogram.lines("x")] == [
        'x_bucket{le="1"} 2', 'x_bucket{le="2"} 3', 'x_bucket{le="+Inf"} 4', "x_sum 6.0",
        "x_count 4",
    ]  # fmt: skip


class Held:
    """A run whose predictor waits until it is let go; it has no samples."""

    def __init__(self, run: Any) -> None:
        self.go = threading.Event()
        self.run = run
        self.predictor: Predictor = run.predictor._replace(encode=self._encode)
        self.assets = {**run.assets, "samples.json": b"[]"}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)

    def _encode(self, inputs: Any) -> Batch:
        self.go.wait(60)
        return self.run.predictor.encode(inputs)


def test_a_full_queue_and_a_slow_answer_have_their_statuses(images: Served) -> None:
    held = Held(images.run)
    limits = Limits(batch_size=1, queue=2, timeout=1.0)
    with serving(held, limits) as served, ThreadPoolExecutor(8) as pool:  # type: ignore[arg-type]
        answers = [*pool.map(lambda _: served.ask(PICTURE), range(8))]
        held.go.set()
        assert served.ask(PICTURE).status == 200
    statuses = sorted(answer.status for answer in answers)
    assert set(statuses) == {503, 504}
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status == 503)


def test_a_body_that_does_not_come_is_not_waited_for(images: Served) -> None:
    limits = Limits(batch_size=1, timeout=0.2)
    with serving(images.run, limits) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest("POST", "/predict")
            connection.putheader("Content-Length", "10")
            connection.endheaders()
            assert connection.getresponse().status == 408


def test_what_breaks_for_one_request_breaks_for_that_alone(rows: Served, capsys: Any) -> None:
    class Broken(Held):
        def _encode(self, inputs: Any) -> Batch:
            if any(each.get("sex") == "broken" for each in inputs):
                raise RuntimeError("a fault of the encoder")
            return self.run.predictor.encode(inputs)

    broken = Broken(rows.run)
    limits = Limits(batch_size=8, wait=0.05)
    with serving(broken, limits) as served, ThreadPoolExecutor(8) as pool:  # type: ignore[arg-type]
        asked = [{**ROW, "sex": "broken"} if number == 3 else ROW for number in range(8)]
        answers = [*pool.map(lambda row: served.ask({"inputs": [row]}), asked)]
    assert [answer.status for answer in answers] == [200] * 3 + [500] + [200] * 4
    assert answers[3].value == {"error": "internal error; the server's output says more"}
    assert "a fault of the encoder" in capsys.readouterr().err
