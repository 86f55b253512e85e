"""A user's own code: what a card names as FILE.py:NAME, relative to its folder.

A file inside the folder of its card is executed, since the command line names the card; one outside
of it only where the user says so (``phasegrok.trust``).  A file is executed once, and once more
after an edit, of itself or of what it imported.  It may import modules that stand beside it, where
no installed one has the name; each file has modules of its own of these.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, ClassVar

executed_files: set[Path] = set()
"""Every file of user's code that this process executed."""
_modules: dict[Path, tuple[str, Any]] = {}  # SHA-256 of a file and its imports as executed, module
_imports: dict[Path, dict[str, Path]] = {}  # by file: modules beside it that it imported


class _Beside:
    """Finds modules beside the user's files, the one executed last first."""

    folders: ClassVar[list[str]] = []
    found: ClassVar[set[str]] = set()  # names, also of what functions import later

    @classmethod
    def find_spec(cls, name: str, path: Any = None, _target: Any = None) -> Any:
        """As of a finder in ``sys.meta_path``; a folder alone is no module."""
        spec = None if path is not None else PathFinder.find_spec(name, cls.folders)
        if spec is None or spec.loader is None:
            return None
        cls.found.add(name)
        return spec

    @classmethod
    def begin(cls, folder: Path) -> None:
        """Look into a folder first."""
        if cls not in sys.meta_path:
            sys.meta_path.append(cls)  # type: ignore[arg-type]
        cls.folders[:] = [str(folder), *(other for other in cls.folders if other != str(folder))]
        importlib.invalidate_caches()


def is_own(text: Any) -> bool:
    """Whether a text names something in a file: FILE.py:NAME."""
    return isinstance(text, str) and re.fullmatch(r".+\.py:.*", text) is not None


def name_of(reference: str) -> str:
    """NAME of FILE.py:NAME, and of the package's own the whole."""
    return reference.rpartition(":")[2]


def absolute(reference: str, folder: Path) -> str:
    """FILE.py:NAME with the whole path of the file."""
    file, _, name = reference.rpartition(":")
    return f"{(folder / file).resolve()}:{name}"


def path_of(reference: str, folder: Path) -> Path:
    """The file that FILE.py:NAME names.

    Raises
    ------
    ValueError
        Where there is none.
    """
    file, _, name = absolute(reference, folder).rpartition(":")
    if not (is_own(reference) and name.isidentifier()):
        raise ValueError(f'"{reference}" is not FILE.py:NAME of a file in {folder.resolve()}')
    if not Path(file).is_file():
        raise ValueError(f'"{reference}" is not FILE.py:NAME of a file: there is no file '
                         f"{Path(file).name} in {Path(file).parent}")
    return Path(file)


def check_trusted(path: Path, folder: Path) -> None:
    """Refuse a file that only the user's word may execute.

    Raises
    ------
    ValueError
        Where it is outside the folder, and was not executed before.
    """
    if not (path in executed_files or path.is_relative_to(folder.resolve())):
        raise ValueError(f"{path} is outside the card's folder: read it, and give --trust to "
                         "execute it")


def load(reference: str, folder: Path = Path()) -> Any:
    """What FILE.py:NAME names; the file is executed where it is new or was edited.

    Raises
    ------
    ValueError
        Where there is no such file or name, or where the file fails.
    """
    path, name = path_of(reference, folder), name_of(reference)
    module = execute(path)
    if not hasattr(module, name):
        raise ValueError(f"{path.name} has no {name}")
    return getattr(module, name)


def execute(path: Path) -> Any:
    """The module of a file, which is executed where it is new or was edited; raises as ``load``."""
    from phasegrok.compiled import use_sources

    name = f"phasegrok_card_{path.stem}"
    known = _modules.get(path) if path in executed_files else None
    if known is None or known[0] != sha256(with_imports(path)):
        executed_files.add(path)
        use_sources(*_sources())
        module = _module(path, name)
        if _imports[path]:
            use_sources(*_sources())
        known = _modules[path] = sha256(with_imports(path)), module
    sys.modules[name] = known[1]  # compiled kernels are stored under this name
    return known[1]


def with_imports(path: Path) -> list[Path]:
    """A file, and those beside it that it imported when this process executed it last."""
    return [path, *(file for file in _imports.get(path, {}).values() if file.is_file())]


def _sources() -> list[Path]:
    return sorted({file for path in executed_files for file in with_imports(path)})


def _module(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    earlier = _Beside.found.union(*_imports.values())
    for other in [other for other in sys.modules if other.partition(".")[0] in earlier]:
        del sys.modules[other]  # of another file, which keeps it
    _Beside.begin(path.parent)
    before = set(sys.modules)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path.name} fails: {type(error).__name__}: {error}") from error
    finally:
        _imports[path] = _found_beside(path.parent, set(sys.modules) - before)
    return module


def _found_beside(folder: Path, names: set[str]) -> dict[str, Path]:
    """Files of those of the modules that stand in a folder, of packages there too."""
    files = {name: Path(file).resolve() for name in sorted(names)
             if (file := getattr(sys.modules.get(name), "__file__", None))}
    beside = {name for name, file in files.items()
              if file in (folder / f"{name}.py", folder / name / "__init__.py")}
    return {name: file for name, file in files.items() if name.partition(".")[0] in beside}


def sha256(files: Iterable[Path]) -> str:
    """Hash of a user's files: of one its own, of several that of theirs; empty where none is."""
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashes[0] if len(hashes) == 1 else (
        hashlib.sha256(" ".join(hashes).encode()).hexdigest() if hashes else "")
