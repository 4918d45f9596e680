"""Tables on disk without waiting for the disk."""

import pytest

from bigmodel.data.prepared import cache


@pytest.fixture(autouse=True)
def nothing_is_synced(monkeypatch) -> None:
    monkeypatch.setattr(cache, "sync", lambda _: None)
