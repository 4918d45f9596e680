"""Files for the tests of data, and how what is wrong with them is told."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from bigmodel.experiment import InputError


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a file of bytes, text or lines, and gives its path."""

    def write(content: bytes | str | Iterable[object], name: str = "data") -> str:
        if not isinstance(content, bytes):
            text = content if isinstance(content, str) else "\n".join(map(str, content))
            content = text.encode()
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


@pytest.fixture
def refused() -> Callable[[str], AbstractContextManager[None]]:
    """Bad input is refused in one line, in which the pattern is found."""

    @contextmanager
    def refused(message: str) -> Iterator[None]:
        with pytest.raises(InputError, match=message) as error:
            yield
        assert "\n" not in str(error.value)

    return refused
