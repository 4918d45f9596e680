"""The loop and everything impure around it: files, signals, progress, checkpoints.

``main``, ``Run`` and ``Settings`` are what a script needs. They bring JAX with them and are
imported when they are asked for, so that what only reads run directories starts without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmodel.runtime.entry import main as main
    from bigmodel.runtime.settings import Run as Run
    from bigmodel.runtime.settings import Settings as Settings

_PLACES = {"main": "entry", "Run": "settings", "Settings": "settings"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
