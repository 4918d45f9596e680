"""bigmodel: a run is a pure function of experiment and seed; a trained run is a value.

``load`` and ``runs`` bring JAX with them and are imported when they are asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmodel.inference.trained import Trained as Trained
    from bigmodel.inference.trained import load as load
    from bigmodel.inference.trained import runs as runs


def __getattr__(name: str) -> Any:
    if name not in ("Trained", "load", "runs"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bigmodel.inference import trained

    return getattr(trained, name)
