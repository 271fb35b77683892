"""A small disk for a store, that can be filled to the last byte and freed again.

It is a file system in memory of its own, which takes root to mount; whoever cannot says why by
`CannotMount`.
"""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SIZE_MIB: Final = 256
BLOCK: Final = bytes(1 << 20)
MOUNT_S: Final = 10


class CannotMount(Exception):
    """Nothing may be mounted on this machine."""


class Disk:
    """A mounted file system of `SIZE_MIB`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._filler.open("ab", buffering=0) as file:
            for block in (BLOCK, BLOCK[:4096], BLOCK[:1]):
                _write_all(file.fileno(), block)

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Mount a small file system on `folder`, and unmount it in the end; raise `CannotMount`."""
    folder.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0700", "faults", str(folder))
    try:
        yield Disk(folder)
    finally:
        _run("umount", "--lazy", str(folder))


def _write_all(file: int, block: bytes) -> None:
    while True:
        try:
            if os.write(file, block) < len(block):
                return
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOUNT_S, check=False)
    except OSError as error:
        raise CannotMount(f"{command[0]!r} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        raise CannotMount(f"{command[0]!r} failed: {done.stderr.strip()}")
