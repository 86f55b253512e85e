"""What a run asks of the machine: memory, compiled kernels, a folder for its file."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasegrok.errors import InputError
from phasegrok.trust import REPOSITORY

if TYPE_CHECKING:
    from phasegrok.protocols.protocol import Protocol


_WORTH_SAYING = 5e8  # bytes


def check_memory(protocol: "Protocol[Any]", silent: bool = False) -> None:
    """Refuse a protocol whose state does not fit into the memory that is free; say it if large."""
    needed, free = protocol.memory(), _free_memory()
    if needed > 0.9 * free:
        raise InputError(f"this run needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB "
                         "are free: fewer replicas, walkers or clones, or a smaller system")
    if needed > _WORTH_SAYING and not silent:
        print(f"this run takes about {needed / 1e9:.1f} GB of memory, of {free / 1e9:.1f} GB that "
              "are free", file=sys.stderr, flush=True)


def _free_memory() -> int:
    """Bytes that this process may still take: of the machine, and of its control group."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError, StopIteration):
        line = next(x for x in Path("/proc/meminfo").read_text().splitlines() if "Available" in x)
        free = int(line.split()[1]) * 1024
    group = Path("/sys/fs/cgroup")  # a container's or a batch job's limit; "max": none
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text())
        free = min(free, limit - int((group / "memory.current").read_text()))
    return max(free, 0)


_announced = False


def announce_compilation() -> None:
    """Say once, when a kernel is not in the cache and is compiled, why nothing moves meanwhile."""
    global _announced
    if _announced:
        return
    _announced = True
    from numba.core import event

    class FirstCompilation(event.Listener):
        said = False

        def on_start(self, _event):
            if not self.said:
                self.said = True
                print("compiling kernels (once; they are cached for later runs) ...",
                      file=sys.stderr, flush=True)

        def on_end(self, _event):
            pass

    event.register("numba:compile", FirstCompilation())


def data_folder() -> Path:
    """Where runs go unless told otherwise: data/runs of the repository, or of this folder."""
    inside = (REPOSITORY / "setup.cfg").is_file() and os.access(REPOSITORY, os.W_OK)
    return (REPOSITORY if inside else Path.cwd()) / "data" / "runs"
