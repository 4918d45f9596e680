"""Checkpoints: Orbax behind one small door, with a sha256 of every file.

``checkpoints/<step>/`` holds what Orbax wrote, each leaf of the state under its path, and
``SHA256SUMS`` in the format of ``sha256sum``. A save happens under another name and is renamed
when all of it would outlast a power cut, so a folder whose name is a number was finished. Older
ones are removed when the new name would outlast it too. What is not trained is saved once, in
``checkpoints/frozen/``, before the first step.
"""

from __future__ import annotations

import functools
import logging
import shutil
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from bigmodel.errors import StorageError, naming
from bigmodel.experiment import PyTree
from bigmodel.files import PARTIAL, sync
from bigmodel.frozen import FROZEN, is_frozen
from bigmodel.run_directory.directory import finished_steps
from bigmodel.run_directory.leaves import read_leaves, reason_of
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
        self.directory = directory.resolve()
        self._writing = writing
        self._warn = warn
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        self._has_frozen = False

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
            damage = self._damage(step)
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
        damage = self._damage(step)
        if damage is not None:
            raise StorageError(
                f"checkpoint of step {step} in {self.directory} cannot be used: {damage}"
            )

    def is_intact(self, step: int) -> bool:
        """Whether there is a checkpoint of a step, and all of it as it was written."""
        return step in self.steps() and self._damage(step) is None

    def _damage(self, step: int) -> str | None:
        frozen = self.directory / FROZEN
        damage = find_damage(self.directory / str(step))
        return find_damage(frozen) if damage is None and frozen.exists() else damage

    def save(self, step: int, state: PyTree, *, keep: Collection[int] = ()) -> None:
        """Starts to save a state; returns when the state's arrays may be overwritten.

        The steps to ``keep`` stay beside this one; others are removed when it is finished.
        """
        self.wait()
        leaves = saved_leaves(state)
        frozen = {path: leaves.pop(path) for path in [*leaves] if is_frozen(path)}
        if frozen and not self._has_frozen:
            self._finish(*self._start(FROZEN, frozen), {*self.steps()})
            self.check()
            self._has_frozen = True
        names = self._start(str(step), leaves)
        self._thread = threading.Thread(
            target=self._finish, args=(*names, {*keep, step}), name="checkpoint"
        )
        self._thread.start()

    def _start(self, name: str, leaves: Mapping[str, Any]) -> tuple[Path, Path]:
        """Starts to write leaves; returns where, and the folder that it is to become."""
        final, partial = self.directory / name, self.directory / f"{name}{PARTIAL}"
        if self._writing:
            self._make_room(final, sum(leaf.nbytes for leaf in leaves.values()) + FILES)
        try:
            from orbax.checkpoint import SaveArgs

            chunks = dict.fromkeys(leaves, SaveArgs(chunk_byte_size=CHUNK))
            self._orbax.save(partial, leaves, save_args=chunks)
        except Exception as error:
            raise StorageError(reason_of(final, error)) from error
        return partial, final

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
        every, wanted = named_leaves(target), saved_leaves(target)
        given = named_leaves(init()) if wanted.keys() < every.keys() else {}
        frozen = {path: wanted.pop(path) for path in [*wanted] if is_frozen(path)}
        leaves = read_leaves(self._orbax, self.directory / str(step), wanted)
        if frozen:
            leaves |= read_leaves(self._orbax, self.directory / FROZEN, frozen)
            self._has_frozen = True
        found = [leaves[name] if name in leaves else given[name] for name in every]
        return jax.tree.unflatten(jax.tree.structure(target), found)

    def close(self) -> None:
        """Waits for the background and frees what Orbax holds."""
        try:
            self.wait()
        finally:
            if "_orbax" in self.__dict__:
                self._orbax.close()
