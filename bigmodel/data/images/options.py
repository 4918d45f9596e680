"""Options of labelled images: which they are, how they are read, divided and augmented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bigmodel.data.images.augmentation import Augmentation
from bigmodel.data.images.sources import prepare_images
from bigmodel.data.labelled import LabelledData
from bigmodel.data.prepared.threads import threads
from bigmodel.data.split import check_positive
from bigmodel.experiment import InputError


@dataclass(frozen=True)
class ImageData(LabelledData, Augmentation):
    """Which images, how they are divided, and how they are augmented."""

    name: Literal["digits", "fashion_mnist", "folder"] = "digits"
    """digits: 1,797 of 8x8, bundled; fashion_mnist: 70,000 of 28x28, with its own test set unless
    there are folds; folder: your own"""
    path: str = ""
    """fashion_mnist: folder of the idx files; folder: folder with a subfolder for each class, or
    with train and perhaps val and test, which contain these"""
    batch_size: int = 128
    """images in a batch"""
    size: int = 64
    """folder: height and width in pixels of the images that the network reads"""
    resize: int | None = None
    """folder: height and width in pixels that images are resized to, by default --data.size; of
    larger ones the middle is read, or a random part by --data.crop"""
    channels: Literal["grey", "rgb"] = "rgb"
    """folder: whether images are read as greyscale or in colour"""
    background: Literal["white", "black"] = "white"
    """folder: colour behind transparent pixels"""
    workers: int | None = None
    """threads that decode and alter images; by default one for each core"""
    cache: str = ""
    """folder: where `launch.py prepare` keeps decoded images; by default in the user's cache"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_augmentation()
        check_positive(self, "size")
        if self.workers is not None:
            check_positive(self, "workers")
        if self.resize is not None and self.resize < self.size:
            raise InputError(
                f"--data.resize {self.resize} must be at least --data.size {self.size}"
            )
        if self.name == "digits" and self.path:
            raise InputError("--data.path is for fashion_mnist and folder; digits are bundled")
        if self.name == "folder" and not self.path:
            raise InputError("--data.name folder needs --data.path, a folder with a folder a class")
        if self.name != "folder" and self.test_path:
            raise InputError("--data.test-path is for --data.name folder; leave it out")

    def prepare(self) -> None:
        """Does what is dear once, so that each run finds it: see `launch.py prepare`.

        Raises:
            InputError: If the images cannot be used.
            StorageError: If the cache cannot be written.
        """
        prepare_images(self)

    @property
    def threads(self) -> int:
        """How many threads decode and alter images."""
        return self.workers or threads()
