"""What a request asks: its inputs, from JSON, a form with files, or a file as the body."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from email import message_from_bytes
from email.message import Message
from typing import Any, NamedTuple

import orjson
from PIL import Image
from starlette.exceptions import HTTPException

from bigmodel.data.images.reading import DECODING_ERRORS
from bigmodel.data.samples import png
from bigmodel.data.tables.csv_table import CsvFormat
from bigmodel.data.texts.text_file import Stream, decoded
from bigmodel.experiment import InputError
from bigmodel.inference.answering import Named
from bigmodel.inference.inputs import NPY, OF_FILES, OF_NUMBERS, of_npy, of_stream
from bigmodel.predictor import Beginning, Kind

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Image formats that Pillow decodes by itself, without another program."""
PIXELS = 50_000_000
"""Of an image; a small file can have many more, and would fill the memory."""
TYPES: Mapping[Kind, tuple[str, tuple[type, ...]]] = {
    "image": ("base64 of an image file, or an array of numbers", (str, list)),
    "row": ("an object: the value of each column by its name", (dict,)),
    "text": ("a string", (str,)),
    "sequence": ("an array of steps", (list,)),
    "series": ("an array of numbers", (list,)),
    "sound": ("base64 of a sound file, or an array of samples", (str, list)),
    "frames": ("an array of frames", (list,)),
    "sample": ("a string, a number or an object", (str, int, float, dict, type(None))),
}
"""What an input in JSON is. A string is never the path of a file."""


class Asked(NamedTuple):
    """A request: its inputs, and the best how many of what is ranked; None is all."""

    inputs: list[Named]
    top: int | None


class Reading(NamedTuple):
    """How the inputs of a run are read, and how many a request may have."""

    kind: Kind
    written: CsvFormat
    column: str
    most: int


def read(content_type: str, query: Mapping[str, str], body: bytes, reading: Reading) -> Asked:
    """What a request asks, by its header, its query and its body.

    Raises:
        HTTPException: 400 where the body is not what its content type says, 413 for too many
            inputs, 415 where the content type says nothing.
        InputError: it has inputs that cannot be used.
    """
    options: dict[str, Any] = dict(query)
    match content_type.partition(";")[0].strip().lower():
        case "application/json":
            found, of_body = _of_json(body, reading.kind)
        case "multipart/form-data":
            found, of_body = _of_form(content_type, body, reading)
        case "application/x-www-form-urlencoded":
            raise HTTPException(
                415,
                "this content type says nothing of the body; send application/json, or a file "
                "as application/octet-stream",
            )
        case _:
            found, of_body = _of_file("the body", body, reading), {}
    options |= of_body
    if unknown := options.keys() - {"top", "cut"}:
        raise InputError(f"there is no option {min(unknown)[:40]!r}; there are top and cut")
    top, cut = _top(options.get("top")), _cut(options.get("cut", False))
    inputs = list(itertools.islice(found, reading.most + 1))
    if len(inputs) > reading.most:
        raise HTTPException(413, f"there are more than {reading.most} inputs; send them in parts")
    if not inputs:
        raise InputError("there is no input; give at least one")
    if cut and reading.kind == "text":
        inputs = [each._replace(value=Beginning(each.value)) for each in inputs]
    return Asked(inputs, top)


def _top(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)
    if type(value) is not int or value < 1:
        raise InputError("top is how many of what is ranked: a number from 1 on")
    return value


def _cut(value: Any) -> bool:
    if (
        cut := {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    ) is None:
        raise InputError("cut is true or false")
    return cut


def _of_json(body: bytes, kind: Kind) -> tuple[Iterable[Named], dict[str, Any]]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"the body is no JSON: {_line(error)}") from None
    if not isinstance(value, dict) or not isinstance(value.get("inputs"), list):
        raise InputError('the body is no object with a list: {"inputs": [...]}')
    inputs = value.pop("inputs")
    return (
        Named(_value(each, kind, f"input {n}"), f"input {n}")
        for n, each in enumerate(inputs, start=1)
    ), value


def _value(value: Any, kind: Kind, name: str) -> Any:
    what, types = TYPES[kind]
    if not isinstance(value, types) or isinstance(value, bool):
        raise InputError(f"{name} is not {what}")
    if kind not in OF_FILES or not isinstance(value, str):
        return value
    head, comma, tail = value.partition(",")
    try:
        content = base64.b64decode(
            tail if comma and head.startswith("data:") else value, validate=True
        )
    except ValueError:
        raise InputError(f"{name} is not {what}") from None
    return _checked(content, name, kind)


def _of_form(
    content_type: str, body: bytes, reading: Reading
) -> tuple[Iterable[Named], dict[str, Any]]:
    """The inputs in the files of a form, and its other fields (RFC 7578)."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = (head.get_boundary() or "").encode("latin-1", "replace")
    # There is no end after so many parts, and so they are refused.
    parts = b"\r\n".join([b"", body]).split(b"\r\n--" + boundary, reading.most + 9)
    if not boundary or not parts[-1].startswith(b"--"):
        raise HTTPException(400, "the body is no form with an end, or has too many parts")
    options: dict[str, Any] = {}
    files: list[Iterator[Named]] = []
    for part in parts[1:-1]:
        above, _, content = part.partition(b"\r\n\r\n")
        field = message_from_bytes(above.strip())
        name, filename = field.get_param("name", "", "content-disposition"), field.get_filename()
        if filename is None:
            options[str(name)] = content.decode(errors="replace")
        else:
            files.append(_of_file(f"the file {filename[:80]!r}", content, reading))
    return itertools.chain.from_iterable(files), options


def _of_file(name: str, content: bytes, reading: Reading) -> Iterator[Named]:
    """The inputs in a file of which no name decides what it is, but the kind of the run."""
    if reading.kind in OF_NUMBERS and content.startswith(NPY):
        yield from of_npy(content, name)
        return
    if reading.kind in OF_FILES:
        yield Named(_checked(content, name, reading.kind), name)
        return
    text = decoded(content, name)
    lines = Stream(name, io.StringIO(text, newline=None))
    yield from of_stream(lines, reading.kind, written=reading.written, column=reading.column)


def _checked(content: bytes, name: str, kind: Kind) -> bytes:
    """The content of a file; of an image the head is read.

    Raises:
        InputError: it is of no format that is read here, or it has too many pixels.
    """
    if kind == "sound":
        return content
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except DECODING_ERRORS:
        raise InputError(f"{name} is no image of the formats {', '.join(FORMATS)}") from None
    if width * height > PIXELS:
        raise InputError(f"{name} has {width}x{height} pixels, more than {PIXELS:,}; shrink it")
    return content


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300]


def dump(value: Any) -> bytes:
    """JSON of an answer: images are base64 of a PNG, numbers that are not finite are null."""
    return orjson.dumps(value, default=png)
