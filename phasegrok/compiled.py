"""Compiled kernels: one decorator, and a cache that notices every edit.

Numba keys its on-disk cache by the source of the one function that is compiled; a kernel that was
specialised on a system does not notice an edit in the file that defines the system.  The folder of
the cache is therefore keyed by a hash of every source file that a kernel can stand in or be
specialised on (`SOURCES`), and of the user's own file, if a card names one.
"""

import fcntl
import functools
import hashlib
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

SOURCES = ("compiled.py", "rng.py", "normals.py", "theory", "systems", "dynamics", "networks")
"""Files and folders of the package with kernels, and with the types that they are compiled for."""

NOT_FROM_PYTHON: dict = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of what only kernels call: the code that would take a system's arrays from Python costs
more compile time than most of these functions."""

IN_KERNELS: Any = {"error_model": "numpy", "fastmath": {"contract"}, **NOT_FROM_PYTHON}
"""Options of what stands for a function in kernels.  Division by zero gives infinity or NaN as in
the rest of NumPy; a test would stop vectorisation."""

PACKAGE = Path(__file__).resolve().parent
_KEEP_DAYS = 30.0
kernels: list = []  # every dispatcher of the package, so that a late change of folder reaches it
_most_threads = 0  # 0: all cores of this process
_user_sources: tuple[Path, ...] = ()


def cache_root() -> Path:
    """The first folder that can be written: what Numba's own variable names, the user's cache, and
    where there is no home or it is read-only, a folder of this user's among temporary files."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    for base in _user_caches():
        if _can_hold_files(base / "phasegrok"):
            return base / "phasegrok"
    return temporary_root()


def _user_caches() -> list[Path]:
    """Where the user's caches are; XDG asks to ignore a relative path."""
    named = Path(os.environ.get("XDG_CACHE_HOME") or ".")
    found = [named] if named.is_absolute() else []
    try:
        return [*found, Path.home() / ".cache"]
    except RuntimeError:  # no HOME, and no entry of this user in the list of users
        return found


def _can_hold_files(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def temporary_root() -> Path:
    """Cached kernels are run when they are loaded, so nobody else may write here."""
    folder = Path(tempfile.gettempdir()) / f"phasegrok-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid == os.getuid() and found.st_mode & 0o777 == 0o700 and folder.is_dir():
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="phasegrok-"))


def _sources_hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory() -> Path:
    """Folder of the compiled kernels for the present sources."""
    files = [file for name in SOURCES
             for file in ([PACKAGE / name] if name.endswith(".py")
                          else sorted((PACKAGE / name).rglob("*.py")))]
    return _ROOT / _sources_hash(files + list(_user_sources))


def use_sources(*files: Path) -> None:
    """Key the kernel cache by the user's own files too; call before a kernel is compiled."""
    global _user_sources
    _user_sources = tuple(Path(f).resolve() for f in files)
    numba.config.CACHE_DIR = str(  # type: ignore[attr-defined]
        cache_directory()
    )
    for dispatcher in kernels:
        dispatcher.enable_caching()


def _forget_old() -> None:
    """Remove kernel folders of sources that nobody has used for a month."""
    if os.environ.get("NUMBA_CACHE_DIR") or not _ROOT.is_dir():
        return
    limit = time.time() - _KEEP_DAYS * 86400.0
    for folder in _ROOT.iterdir():
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
        kernels.append(dispatcher)
        dispatcher.compile = functools.partial(_compile_once, dispatcher, dispatcher.compile)
    return dispatcher


def _compile_once(dispatcher, compile_or_load, signature):
    """Compile in one process; others that want the same kernel wait, then load it.

    Kernels that a kernel calls are locked after it, so no two processes wait for each other; nor do
    two threads, of which one at a time is in here.
    """
    with global_compiler_lock:
        if signature in dispatcher.overloads:
            return compile_or_load(signature)
        function = dispatcher.py_func
        with locked(f"{function.__module__}.{function.__qualname__}{signature}"):
            return compile_or_load(signature)


@contextmanager
def locked(name):
    """Hold the lock of this name among all processes of this cache, where files can be locked."""
    with ExitStack() as held:
        with suppress(OSError):
            folder = Path(numba.config.CACHE_DIR) / "locks"  # type: ignore[attr-defined]
            folder.mkdir(parents=True, exist_ok=True)
            file = open(folder / hashlib.sha256(name.encode()).hexdigest()[:32], "ab")
            held.enter_context(file)  # closing it gives the lock back, and so does a kill
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


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


_ROOT = cache_root()
_forget_old()
use_sources()
