"""What is to come, made by another thread while the caller does other things."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

AHEAD = 4
"""Items that are made ahead at most."""

Item = TypeVar("Item")
Made = TypeVar("Made")


class Ahead(Iterator[Made], Generic[Item, Made]):
    """``map(make, items)``, made in order.

    An error in one comes out in its place. The thread ends when all are made, or when it is closed
    or no longer used. There is one, for several wait for each other's Python: making small batches
    two were slower.
    """

    def __init__(self, make: Callable[[Item], Made], items: Iterable[Item]) -> None:
        self._make, self._left = make, iter(items)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._pending: deque[Future[Made]] = deque()
        self._begin(AHEAD)

    def _begin(self, count: int) -> None:
        for item in itertools.islice(self._left, count):
            self._pending.append(self._pool.submit(self._make, item))

    @property
    def is_ready(self) -> bool:
        """Whether the next one is made already."""
        return not self._pending or self._pending[0].done()

    def __next__(self) -> Made:
        """The next one, for which it may have to wait."""
        if not self._pending:
            self.close()
            raise StopIteration
        made = self._pending.popleft().result()
        self._begin(1)
        return made

    def close(self) -> None:
        """Lets the thread end; what it has not begun is not made."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    __del__ = close
