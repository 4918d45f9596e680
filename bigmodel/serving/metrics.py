"""What a server counts, in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Histogram:
    """How many values were at most each of some bounds, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> Iterator[str]:
        """The samples."""
        below = 0
        for bound, count in zip([*self.bounds, "+Inf"], self.counts, strict=True):
            below += count
            yield f'{name}_bucket{{le="{bound}"}} {below}'
        yield f"{name}_sum {self.total}"
        yield f"{name}_count {below}"


class ServerMetrics:
    """Requests by status, their seconds, the inputs of batches, and the length of the queue.

    Args:
        sizes: of batches.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.requests: Counter[int] = Counter()
        self.seconds = Histogram(SECONDS)
        self.batches = Histogram(sizes)

    def exposition(self, waiting: int) -> str:
        """All of it as text, and how many inputs wait."""
        return "\n".join([*self._lines(waiting), ""])

    def _lines(self, waiting: int) -> Iterator[str]:
        yield from _head("bigmodel_requests_total", "counter", "Requests to /predict by status.")
        for status, count in sorted(self.requests.items()):
            yield f'bigmodel_requests_total{{status="{status}"}} {count}'
        yield from _head("bigmodel_request_seconds", "histogram", "From a request to its answer.")
        yield from self.seconds.lines("bigmodel_request_seconds")
        yield from _head("bigmodel_batch_inputs", "histogram", "Inputs computed at once.")
        yield from self.batches.lines("bigmodel_batch_inputs")
        yield from _head("bigmodel_queue_inputs", "gauge", "Inputs that wait for a batch.")
        yield f"bigmodel_queue_inputs {waiting}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
