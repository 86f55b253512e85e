"""Where compiled kernels are cached, and what the cache is keyed by."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import phasegrok
from phasegrok import compiled

COMPILE = """
import numpy as np
from phasegrok.dynamics.multi_spin_random import fill_words
fill_words(np.ones(4, np.uint64), np.zeros(8, np.uint64))
print(len(fill_words.stats.cache_hits), len(fill_words.stats.cache_misses))
"""


def _no_home():
    raise RuntimeError("Could not determine home directory.")


def test_every_kernel_stands_in_a_file_that_keys_the_cache():
    for module in pkgutil.walk_packages(phasegrok.__path__, "phasegrok."):
        if module.name != "phasegrok.run.workers":  # needs the extra [cluster]
            importlib.import_module(module.name)
    package = Path(phasegrok.__file__).parent
    keyed = tuple(str(package / name) for name in compiled.SOURCES)
    files = {dispatcher.py_func.__code__.co_filename for dispatcher in compiled.kernels
             if dispatcher.py_func.__module__.startswith("phasegrok.")}
    assert len(files) > 20
    assert [file for file in files if not file.startswith(keyed)] == []


def test_an_edit_of_a_system_is_noticed(monkeypatch, tmp_path):
    (tmp_path / "systems").mkdir()
    for name in ("compiled.py", "rng.py", "normals.py", "systems/ising.py"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(compiled, "PACKAGE", tmp_path)
    before = compiled.cache_directory()
    (tmp_path / "cards.py").write_text("no kernel here")
    assert compiled.cache_directory() == before
    (tmp_path / "systems" / "ising.py").write_text("J = 2")
    assert compiled.cache_directory() != before


def test_the_cache_is_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert compiled.cache_root() == tmp_path / "cache" / "phasegrok"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # XDG asks to ignore it
    assert compiled.cache_root() == tmp_path / ".cache" / "phasegrok"
    assert not Path("relative").exists()


def test_without_a_home_the_cache_is_a_private_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", staticmethod(_no_home))
    monkeypatch.setattr(compiled.tempfile, "tempdir", str(tmp_path))
    root = compiled.cache_root()
    assert root.parent == tmp_path and root.stat().st_mode & 0o777 == 0o700
    assert compiled.cache_root() == root  # found again by the next process
    root.chmod(0o777)  # somebody else could put code there
    other = compiled.cache_root()
    assert other != root and other.stat().st_mode & 0o777 == 0o700


def test_of_two_processes_one_compiles_and_the_other_waits_and_loads(tmp_path):
    both = [subprocess.Popen([sys.executable, "-c", COMPILE], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}) for _ in range(2)]
    hits_and_misses = sorted(process.communicate(timeout=200)[0].split() for process in both)
    assert hits_and_misses == [["0", "1"], ["1", "0"]]


def test_a_cache_that_cannot_be_locked_is_used_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", str(tmp_path / "file"))
    with compiled.locked("any"):
        assert (tmp_path / "file").read_text() == ""  # a file where the folder would stand
