"""Checkpoints: Orbax behind one small door, with a sha256 of every file.

``checkpoints/<step>/`` holds what Orbax wrote, each leaf of the state under its path, and
``SHA256SUMS`` in the format of ``sha256sum``. A save happens under another name and is renamed
when all of it would outlast a power cut, so a folder whose name is a number was finished. Older
ones are removed when the new name would outlast it too.
"""

from __future__ import annotations

import functools
import logging
import shutil
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from bigmodel.errors import StorageError, naming
from bigmodel.experiment import InputError, PyTree
from bigmodel.files import PARTIAL, sync
from bigmodel.run_directory.directory import finished_steps
from bigmodel.run_directory.sums import SUMS, find_damage, sum_files, write_sums
from bigmodel.tree import named_leaves, saved_leaves

if TYPE_CHECKING:
    from orbax.checkpoint import StandardCheckpointer

SHARD = "ocdbt.process_"
"""How the name of the folder begins that Orbax has for the arrays of each process."""
FILES = 65536
"""What Orbax's own files beside the arrays take, in bytes, rounded up."""
CHUNK = 4 << 20
"""Bytes of the pieces of an array, each of which can be read without the rest."""
HASH_SECONDS = 3600
"""How long one process waits for the sums of the others."""


class Checkpoints:
    """The checkpoints of one run. Saves go on in the background; one at a time.

    Of several processes each writes its own part of the arrays and its sums; the one that is
    ``writing`` does the rest. All have to call :meth:`save` and :meth:`restore` with the same step.
    What cannot be read or written is a StorageError, of a save in the background at the next call.
    """

    def __init__(
        self, directory: Path, *, warn: Callable[[str], None], writing: bool = True
    ) -> None:
        self.directory = directory.absolute()
        self._writing = writing
        self._warn = warn
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    @functools.cached_property
    def _orbax(self) -> StandardCheckpointer:
        # Imported here because a run takes its first steps without it.
        from orbax.checkpoint import StandardCheckpointer

        # It logs the traces of all its threads where a save fails; one line says it here.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        return StandardCheckpointer()

    def steps(self) -> list[int]:
        """The finished steps, in order."""
        return finished_steps(self.directory)

    def newest_intact(self, newest: int | None = None) -> int | None:
        """The newest step whose files all have the sha256 that they were written with.

        Those after ``newest``, if it is told, do not count. Warns of every newer step that is
        damaged, naming the file.

        Raises:
            StorageError: where there are finished checkpoints and all are damaged.
        """
        damages = []
        if self.directory.is_dir():
            for path in sorted(self.directory.glob(f"*{PARTIAL}*")):
                self._warn(f"ignored {path}: its save was not finished")
        for step in reversed(self.steps()):
            if newest is not None and step > newest:
                continue
            damage = find_damage(self.directory / str(step))
            if damage is None:
                return step
            damages.append(damage)
            self._warn(f"checkpoint of step {step} is not used: {damage}")
        if damages:
            raise StorageError(
                f"all checkpoints in {self.directory} are damaged, the newest in {damages[0]}; "
                "nothing was changed: restore them from a copy, or choose another --run.dir"
            )
        return None

    def check_intact(self, step: int) -> None:
        """Raises StorageError where a file of a step has not the sha256 it was written with."""
        damage = find_damage(self.directory / str(step))
        if damage is not None:
            raise StorageError(
                f"checkpoint of step {step} in {self.directory} cannot be used: {damage}"
            )

    def save(self, step: int, state: PyTree, *, keep: Collection[int] = ()) -> None:
        """Starts to save a state; returns when the state's arrays may be overwritten.

        The steps to ``keep`` stay beside this one; others are removed when it is finished.
        """
        self.wait()
        final = self.directory / str(step)
        partial = self.directory / f"{step}{PARTIAL}"
        leaves = saved_leaves(state)
        if self._writing:
            self._make_room(final, sum(leaf.nbytes for leaf in leaves.values()) + FILES)
        try:
            from orbax.checkpoint import SaveArgs

            chunks = dict.fromkeys(leaves, SaveArgs(chunk_byte_size=CHUNK))
            self._orbax.save(partial, leaves, save_args=chunks)
        except Exception as error:
            raise StorageError(reason_of(final, error)) from error
        self._thread = threading.Thread(
            target=self._finish, args=(partial, final, {*keep, step}), name="checkpoint"
        )
        self._thread.start()

    def _make_room(self, final: Path, needed: int) -> None:
        with naming(final):
            self.directory.mkdir(parents=True, exist_ok=True)
            for left in self.directory.glob(f"*{PARTIAL}*"):
                shutil.rmtree(left)
            free = shutil.disk_usage(self.directory).free
        if free < needed:
            raise StorageError(
                f"cannot write checkpoint {final}: it needs {needed / 1e6:.1f} MB "
                f"and the disk has {free / 1e6:.1f} MB left"
            )

    def wait(self) -> None:
        """Returns when the save in the background is finished."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def check(self) -> None:
        """Raises StorageError where a save in the background has failed; never waits."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _finish(self, partial: Path, final: Path, keep: set[int]) -> None:
        try:
            self._orbax.wait_until_finished()
            if jax.process_count() > 1:
                shard = f"{SHARD}{jax.process_index()}"
                sum_files(partial, partial / shard, partial / f"{SUMS}-{shard}")
                from orbax.checkpoint import multihost

                barrier = multihost.get_barrier_sync_fn()
                barrier(key=f"sums of {partial}", timeout_ms=1000 * HASH_SECONDS)
            if not self._writing:
                return
            write_sums(partial)
            with naming(final):
                if final.exists():
                    final.rename(final.with_name(f"{final.name}{PARTIAL}-old"))
                partial.rename(final)
                sync(self.directory)
                for step in set(self.steps()) - keep:
                    shutil.rmtree(self.directory / str(step))
                for old in self.directory.glob(f"*{PARTIAL}-old"):
                    shutil.rmtree(old)
        except Exception as error:
            # Orbax and TensorStore have no common class for a disk that is full.
            known = isinstance(error, StorageError)
            self._failure = error if known else StorageError(reason_of(final, error))
            for left in self.directory.glob(f"{partial.name}*"):
                shutil.rmtree(left, ignore_errors=True)

    def restore(self, step: int, target: PyTree, init: Callable[[], PyTree] = dict) -> PyTree:
        """The state of a step.

        ``target`` has the shapes, dtypes and shardings wanted, as ``jax.ShapeDtypeStruct``. Another
        number of devices than at the save is fine. ``init`` makes what no checkpoint has.

        Raises:
            InputError: where the checkpoint has other parameters, naming the first.
        """
        path = self.directory / str(step)
        every, wanted = named_leaves(target), saved_leaves(target)
        given = named_leaves(init()) if wanted.keys() < every.keys() else {}
        try:
            saved = self._orbax.metadata(path).item_metadata
            _check_same_leaves(path, dict(saved), wanted)
            leaves = self._orbax.restore(path, wanted)
        except InputError:
            raise
        except Exception as error:
            raise StorageError(reason_of(path, error, doing="read")) from error
        found = [leaves[name] if name in leaves else given[name] for name in every]
        return jax.tree.unflatten(jax.tree.structure(target), found)

    def close(self) -> None:
        """Waits for the background and frees what Orbax holds."""
        try:
            self.wait()
        finally:
            if "_orbax" in self.__dict__:
                self._orbax.close()


def _check_same_leaves(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in [*wanted, *saved]:
        if name not in saved:
            difference = f"it has no {name}"
        elif name not in wanted:
            difference = f"it has {name}, which this experiment has not"
        elif tuple(saved[name].shape) != tuple(wanted[name].shape):
            difference = (
                f"{name} has shape {list(saved[name].shape)} there "
                f"and {list(wanted[name].shape)} here"
            )
        else:
            continue
        raise InputError(
            f"checkpoint {path} is of another architecture: {difference}; "
            "choose another --run.dir or the options that it was made with"
        )


def reason_of(path: Path, error: Exception, *, doing: str = "write") -> str:
    """Says in one line why a checkpoint cannot be written or read."""
    text = " ".join(str(error).split())
    for known in ("No space left on device", "Read-only file system", "Permission denied"):
        if known in text:
            text = known
    return f"cannot {doing} checkpoint {path}: {text[:300]}"
