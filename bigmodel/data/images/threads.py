"""Work on single images by several threads, which Pillow's decoders and filters let run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache


def for_each(function: Callable[[int], None], count: int, workers: int) -> None:
    """Calls a function of each number below ``count`` once, by so many threads."""
    size = count if workers == 1 else max(1, count // (4 * workers))

    def several(start: int) -> None:
        for number in range(start, min(start + size, count)):
            function(number)

    if size >= count:
        several(0)
    else:
        list(_threads(workers).map(several, range(0, count, size)))


@lru_cache(maxsize=1)
def _threads(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="image")
