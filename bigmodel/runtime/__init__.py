"""The loop and everything impure around it: files, signals, progress, checkpoints."""

from bigmodel.runtime.main import main as main
from bigmodel.runtime.settings import Run as Run
from bigmodel.runtime.settings import Settings as Settings
