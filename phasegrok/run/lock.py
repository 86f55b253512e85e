"""One process a run: a lock beside the file, which the system holds while the process lives."""

import errno
import fcntl
import os
import socket
from pathlib import Path

from phasegrok.run.runfile import BusyError, RunFileError, reason_of, remove_quietly, resolved


class Lock:
    """Holds a run's name: a second process that wants the same file is refused.

    The lock is released by the operating system when the process dies, however it dies.
    """

    def __init__(self, path: Path):
        self._target = resolved(path)
        self._path = self._target.with_name(f".{self._target.name}.lock")
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock and sweep away the part files of dead processes of this host.

        Raises
        ------
        BusyError
            If another process is running this run.
        RunFileError
            If the folder cannot be written, or its file system has no locks.
        """
        while self._handle is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise RunFileError(
                    f"cannot write in {self._path.parent}: {reason_of(error)}") from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                raise self._refusal(error) from error
            # the former owner may have removed the file that we opened: then it locks nothing
            if _is_at(handle, self._path):
                self._handle = handle
            else:
                os.close(handle)
        self._sweep()

    def _refusal(self, error: OSError) -> RunFileError:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return BusyError(f"{self._target} is being written by another process: wait for it or "
                             "stop it")
        return RunFileError(f"the file system of {self._path.parent} has no locks: "
                            f"{reason_of(error)}")

    def release(self) -> None:
        """Give the name back."""
        if self._handle is not None:
            remove_quietly(self._path)
            os.close(self._handle)
            self._handle = None

    def _sweep(self) -> None:
        prefix = f".{self._target.name}.{socket.gethostname()}-"
        for part in self._path.parent.iterdir():
            if not (part.name.startswith(prefix) and part.name.endswith(".part")):
                continue
            pid = part.name[len(prefix) : -len(".part")]
            if pid.isdecimal() and not is_alive(int(pid)):
                remove_quietly(part)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number on this host."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
