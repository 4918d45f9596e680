"""What others have learned, as a value: a folder in Hugging Face's layout, or a GGUF file.

Nothing of it is unpickled or executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.files import sha256_of
from bigmodel.pretrained.config_file import read_json
from bigmodel.pretrained.families import MODELS, Beside, family, family_of
from bigmodel.pretrained.formats.gguf import is_gguf, read_gguf
from bigmodel.pretrained.formats.safetensors import PICKLED, Tensors, pickled, read_folder
from bigmodel.pretrained.layout import Weights

CONFIG, TOKENIZER, IMAGES = "config.json", "tokenizer.json", "preprocessor_config.json"
PROCESSOR = "image_processor"
"""What a config has as this is in a file of its own."""
SPECIAL = ("bos", "eos", "unk", "pad", "cls", "sep", "mask")


class Source(NamedTuple):
    """Foreign weights and what their folder says of them.

    ``options`` are those of our model's dataclass that the config decides, nested as that is:
    ``bigmodel.config.from_json(default, options)`` takes them. ``variables`` are by our path with
    its collection, ``params/blocks_0/attention/query/kernel``, with blocks one by one; they are
    views of mapped files where that is possible, in the files' types. ``tokenizer`` is the content
    of ``tokenizer.json``, or what a GGUF file says. ``sha256`` is over the weights and the config.

    ``facts`` is what else a user needs, each where it is known: ``architecture``, ``vocab_size``,
    ``context`` (tokens), ``chat_template``, ``special_tokens`` (their texts, by ``bos``, ``eos``
    and so on), ``labels``, and what the family's module adds.
    """

    path: Path
    family: str
    options: Mapping[str, Any]
    variables: Mapping[str, np.ndarray]
    tokenizer: bytes | None
    facts: Mapping[str, Any]
    sha256: str


class Described(NamedTuple):
    """What a folder or a file says of its weights, which are not read."""

    family: str
    config: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The name of the options' dataclass in ``bigmodel.models``."""
        return MODELS[self.family]


def is_foreign(path: Path) -> bool:
    """Whether it is a folder or a file that :func:`read_foreign` is to read, and not a run's."""
    if path.is_dir():
        return (path / CONFIG).is_file() and "model_type" in read_json(path / CONFIG)
    return path.is_file()


class Opened(NamedTuple):
    """A folder, or a file that is as one; its tensors are read when they are asked for."""

    config: Mapping[str, Any]
    tensors: Callable[[], Tensors]
    beside: Beside
    tokenizer: Callable[[], bytes | None]


def _open(path: Path) -> Opened:
    if path.suffix in PICKLED:
        raise pickled(path)
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if is_gguf(path):
        file = read_gguf(path)
        return Opened(file.config(), file.tensors, file.beside, file.tokenizer)
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} is no folder with {CONFIG} and *.safetensors, and no GGUF file")

    def beside(file: str, kind: type = dict) -> Any:
        return read_json(path / file, kind) if (path / file).is_file() else kind()

    def tokenizer() -> bytes | None:
        with naming(path / TOKENIZER, "read"):
            return (path / TOKENIZER).read_bytes() if (path / TOKENIZER).is_file() else None

    config = read_json(path / CONFIG)
    if (path / IMAGES).is_file():
        config[PROCESSOR] = read_json(path / IMAGES)
    return Opened(config, lambda: read_folder(path), beside, tokenizer)


def describe(path: Path) -> Described:
    """The family and the options of foreign weights.

    Raises:
        InputError: it is neither a folder with a ``config.json`` nor a GGUF file, or of no known
            family, or has what our networks cannot.
        StorageError: a file cannot be read.
    """
    return _described(path, _open(path).config)


def _described(path: Path, config: Mapping[str, Any]) -> Described:
    with _of(path):
        name = family_of(config)
        return Described(name, config, family(name).options(config))


def read_foreign(path: Path) -> Source:
    """Reads foreign weights, as views of their files where that is possible.

    Raises:
        InputError: it is none that :func:`describe` describes, a file is damaged, or its tensors
            are not those that its config says; one line.
        StorageError: a file cannot be read.
    """
    opened = _open(path)
    name, config, options = _described(path, opened.config)
    tensors = opened.tensors()
    with _of(path):
        variables = _variables(name, tensors, config)
        facts = {**_facts(config, path, opened.beside("tokenizer_config.json"))}
        facts |= family(name).facts(config, opened.beside)
    deciding = [file for file in (path / CONFIG, path / IMAGES) if file.is_file()]
    sha256 = _sha256([*deciding, *tensors.files])
    return Source(path, name, options, variables, opened.tokenizer(), facts, sha256)


def _variables(name: str, tensors: Tensors, config: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
    """Variables by our paths; raises InputError where tensors are missing, or there are others."""
    module = family(name)
    weights = Weights(tensors.by_name, module.PREFIXES)
    try:
        variables = module.to_ours(weights, config)
    except InputError:
        raise
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(f"tensors have other shapes than config.json says: {error}") from None
    others = [each for each in weights.unread if not re.search(module.SPARE, each)]
    if others:
        raise InputError(
            f"the tensor {others[0]} is none of a {name} as its config.json describes it"
            + (f", nor are {len(others) - 1} others" if others[1:] else "")
        )
    return variables


def _facts(config: Mapping[str, Any], path: Path, tokens: Mapping[str, Any]) -> dict[str, Any]:
    """What the folders of all families may say."""
    facts: dict[str, Any] = {}
    match config.get("architectures"):
        case [str() as architecture, *_]:
            facts["architecture"] = architecture
    template = tokens.get("chat_template")
    if isinstance(template, list):
        named = [each for each in template if isinstance(each, Mapping)]
        template = {each.get("name"): each.get("template") for each in named}.get("default")
    if (path / "chat_template.jinja").is_file():
        template = (path / "chat_template.jinja").read_text(encoding="utf-8", errors="replace")
    if isinstance(template, str):
        facts["chat_template"] = template
    texts = {}
    for name in SPECIAL:
        text = tokens.get(f"{name}_token")
        text = text.get("content") if isinstance(text, Mapping) else text
        if isinstance(text, str):
            texts[name] = text
    if texts:
        facts["special_tokens"] = texts
    return facts


def _sha256(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.name} {sha256_of(file)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _of(path: Path) -> Iterator[None]:
    """Says in InputErrors which folder or file they are about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
