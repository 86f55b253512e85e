"""Compiled kernels: one decorator, and a cache that notices every edit.

Numba keys its on-disk cache by the source of the one function that is compiled; a kernel that was
specialised on a system does not notice an edit in the file that defines the system.  The folder of
the cache is therefore keyed by a hash of every source file of the package and of the user's own
file, if a card names one.
"""

import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba

_PACKAGE = Path(__file__).resolve().parent
_KEEP_DAYS = 30.0
_kernels: list = []  # every dispatcher of the package, so that a late change of folder reaches it
_most_threads = 0  # 0: all cores of this process
_user_sources: tuple[Path, ...] = ()


def _cache_root() -> Path:
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "phasegrok"


def _sources_hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory() -> Path:
    """Folder of the compiled kernels for the present sources."""
    return _cache_root() / _sources_hash(sorted(_PACKAGE.rglob("*.py")) + list(_user_sources))


def use_sources(*files: Path) -> None:
    """Key the kernel cache by the user's own files too; call before a kernel is compiled."""
    global _user_sources
    _user_sources = tuple(Path(f).resolve() for f in files)
    numba.config.CACHE_DIR = str(  # type: ignore[attr-defined]
        cache_directory()
    )
    for dispatcher in _kernels:
        dispatcher.enable_caching()


def _forget_old() -> None:
    """Remove kernel folders of sources that nobody has used for a month."""
    root = _cache_root()
    if os.environ.get("NUMBA_CACHE_DIR") or not root.is_dir():
        return
    limit = time.time() - _KEEP_DAYS * 86400.0
    for folder in root.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)


def kernel(function=None, *, allocates=True, **options):
    """Compile a function with Numba: cached on disk, without the GIL, reproducible.

    ``allocates=False`` is for functions that make no arrays: it leaves out the reference counts of
    arrays passed on to other kernels, whose atomic operations cost five times the physics in a
    single-site update.

    Only contraction (fused multiply-add) is allowed of the fast-math flags: with all of them, the
    process that compiles and those that load the cache give different last digits, so a resumed
    run would differ from an uninterrupted one.
    """
    if function is None:
        return lambda f: kernel(f, allocates=allocates, **options)
    settings = {"cache": True, "nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    settings |= options
    if not allocates:
        settings["_nrt"] = False
    dispatcher = numba.njit(**settings)(function)
    if settings["cache"]:
        _kernels.append(dispatcher)
    return dispatcher


def use_threads(n: int) -> None:
    """Let kernels take ``n`` cores at most: a worker's share where several share a machine."""
    global _most_threads
    _most_threads = n


def n_threads() -> int:
    """Cores that this process may use."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, _most_threads) if _most_threads else cores


def over_threads(function, n: int) -> list:
    """``[function(0), ..., function(n - 1)]``, one core a call; kernels do not hold the GIL.

    Replicas are independent and carry their own generators, so the result does not depend on the
    number of threads.
    """
    if n == 1 or n_threads() == 1:
        return [function(k) for k in range(n)]
    with ThreadPoolExecutor(min(n, n_threads())) as pool:
        return list(pool.map(function, range(n)))


_forget_old()
use_sources()
