"""bigmodel: a run is a pure function of experiment and seed; a trained run is a value.

``load`` and ``runs`` bring JAX with them and are imported when they are asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmodel.inference.foreign import Foreign as Foreign
    from bigmodel.inference.loading import load as load
    from bigmodel.inference.trained import Trained as Trained
    from bigmodel.inference.trained import runs as runs

_PLACES = {"Foreign": "foreign", "load": "loading", "Trained": "trained", "runs": "trained"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"bigmodel.inference.{_PLACES[name]}"), name)
