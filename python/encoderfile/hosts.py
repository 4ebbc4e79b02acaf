"""One copy of a model's file for all processes of a host, whoever brought it there.

An engine gives every executor, or every actor, a copy of its own, and the memory of two mapped
files is shared only where they are one inode. So the first process puts its copy into a folder of
this user's below the temporary folder, under a name that is made of what is in the file, and the
others map that one. Whatever goes wrong there is no error: the process then maps its own copy.

Each process has a lock on the file for as long as it lives, so that a file without one is of no
use any more: whoever puts another there removes it.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

if sys.platform != "win32":
    import fcntl

__all__ = ["Identity", "link_or_copy", "shared"]

#: The files that this process has locked; it closes none of them.
_locked: dict[Path, int] = {}
_logger = logging.getLogger(__name__)


class Identity(NamedTuple):
    """What makes two files the same."""

    #: Of the container, and through its hashes of all that is in it.
    digest: str
    size_bytes: int

    @property
    def name(self) -> str:
        """What a file of it is called."""
        return f"{self.digest[:32]}-{self.size_bytes}.encoderfile"


def shared(identity: Identity, place: Callable[[Path], object]) -> Path | None:
    """The path of this host's file, which ``place`` writes where there is none yet.

    ``None`` where there cannot be one: on Windows, where the folder is somebody else's, where
    nothing can be written.
    """
    if sys.platform == "win32":
        return None
    try:
        folder = _folder()
        path = folder / identity.name
        # It may be removed as unused between the two.
        for _ in range(3):
            if _lock(path, identity.size_bytes):
                return path
            _put(folder, path, place)
        raise OSError(f"{path}: not a file of {identity.size_bytes} bytes of this user's own")
    except OSError as error:
        _logger.warning("the model is not shared with other processes of this host: %s", error)
        return None


def link_or_copy(source: str | os.PathLike[str], target: Path) -> None:
    """The same file under another name, or a copy of it on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


if sys.platform != "win32":

    def _folder() -> Path:
        """The folder of this user's, which nobody else can have written into."""
        folder = Path(tempfile.gettempdir()) / f"encoderfile-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        found = folder.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_ours or found.st_mode & 0o077:
            raise PermissionError(f"{folder}: not a folder that is this user's alone")
        return folder

    def _lock(path: Path, size_bytes: int) -> bool:
        """Keeps others from removing it, if it is there and what it should be."""
        if path in _locked and _is_at(_locked[path], path):
            return True
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        found = os.fstat(descriptor)
        is_right = (
            stat.S_ISREG(found.st_mode)
            and found.st_uid == os.getuid()
            and found.st_size == size_bytes
        )
        if not (is_right and _take(descriptor, fcntl.LOCK_SH) and _is_at(descriptor, path)):
            os.close(descriptor)
            return False
        _locked[path] = descriptor
        return True

    def _take(descriptor: int, kind: int) -> bool:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _is_at(descriptor: int, path: Path) -> bool:
        """Whether the open file is still the one of that name."""
        try:
            return os.path.samestat(os.fstat(descriptor), path.lstat())
        except FileNotFoundError:
            return False

    def _put(folder: Path, path: Path, place: Callable[[Path], object]) -> None:
        """Writes it beside, and gives it its name at once, unless another process was first."""
        _remove_unused(folder)
        work = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        work.mkdir(mode=0o700)
        descriptor = os.open(work, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _take(descriptor, fcntl.LOCK_SH)
            place(work / path.name)
            os.link(work / path.name, path)
        except FileExistsError:
            pass
        finally:
            os.close(descriptor)
            shutil.rmtree(work, ignore_errors=True)

    def _remove_unused(folder: Path) -> None:
        """Removes what no living process has locked."""
        for entry in folder.iterdir():
            try:
                descriptor = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                if not _take(descriptor, fcntl.LOCK_EX):
                    continue
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
