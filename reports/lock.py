"""Who records into a folder: one process at a time, for as long as it lives."""

from __future__ import annotations

import errno
import os
import socket
import weakref
from pathlib import Path
from typing import Any, Final

from matrix.errors import UserError

LOCK: Final = "recording.lock"
_HELD: Final = (errno.EWOULDBLOCK, errno.EAGAIN)


class Lock:
    """A folder's lock, let go of when its holder ends, however it does. Where a file system has no locks, there is none."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where another process records there."""
        self._path = folder / LOCK
        self._close: weakref.finalize[..., Any] | None = None
        while (file := self._opened()) is not None:
            if _locked(file, self._path):
                self._close = weakref.finalize(self, os.close, file)
                break
            os.close(file)  # its holder removed it between our two calls

    def release(self) -> None:
        """Removes the file, and lets go."""
        if self._close is not None and self._close.alive:
            self._path.unlink(missing_ok=True)
            self._close()

    def _opened(self) -> int | None:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except (OSError, ValueError):
            return None  # whatever is written there next says why


def _locked(file: int, path: Path) -> bool:
    """Whether the file that is now locked is the one that others will find."""
    try:
        _lock(file)
    except OSError as error:
        if error.errno not in _HELD:
            return True
        os.close(file)
        raise UserError(f"{path.parent}: {_holder(path)} is recording there: wait for it, or end it") from None
    try:
        if not os.path.samestat(os.fstat(file), path.stat()):
            return False
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
    except FileNotFoundError:
        return False
    except OSError:
        pass  # a full disk: it is locked, and only says nothing of who holds it
    return True


def _lock(file: int) -> None:
    try:
        import fcntl
    except ImportError:  # no POSIX system
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        process, host = path.read_text(encoding="utf-8", errors="backslashreplace").split(maxsplit=1)
    except (OSError, ValueError):
        return "another process"
    return f"process {process} on {host.strip()}"
