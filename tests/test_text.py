"""Text of files and of the terminal, in every locale and without a home folder."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository import EXPERIMENTS, ROOT

from phasegrok import environment, text

CARD = """\
name = "umlaut"
title = "Dreieck mit ±J, Größe 3"
kind = "ising-graph"
reference = "none"
parameters = {}
observables = { energy = "E", order_parameter = "M" }
data = { file = "triangle.csv" }
thermodynamics = { temperatures = "1.0:1.0:1" }
"""
POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
RUN = """\
from phasegrok import environment
from phasegrok.figures.common import pair
environment.prepare()
print(pair(1.5, 0.0002), "τ of Φ², 5 µs, κ → 1, \\udcff, 物")
"""


def in_locale(tmp_path, settings, *words) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
    env |= {"PYTHONPATH": str(ROOT)} | settings
    return subprocess.run([sys.executable, *words], cwd=tmp_path, env=env, capture_output=True)


@pytest.mark.parametrize("settings, title", [
    (POSIX, b"Dreieck mit +-J, Grosse 3"),
    ({"PYTHONIOENCODING": "ascii"}, b"Dreieck mit +-J, Grosse 3"),
    ({"PYTHONIOENCODING": "ascii:strict"}, b"Dreieck mit +-J, Grosse 3"),
    ({"PYTHONIOENCODING": "latin-1"}, "Dreieck mit ±J, Größe 3".encode("latin-1")),
    ({"PYTHONUTF8": "1"}, "Dreieck mit ±J, Größe 3".encode())])
def test_models_lists_a_title_in_every_encoding(tmp_path, settings, title):
    """The card is UTF-8 whatever the locale; its title is shown in what the terminal has."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "umlaut.toml").write_bytes(b"\xef\xbb\xbf" + CARD.encode())
    (tmp_path / "models" / "triangle.csv").write_text("0,1,1\n1,2,1\n2,0,1\n")
    done = in_locale(tmp_path, settings, "-c", "from phasegrok.cli import main; main()", "models")
    assert done.returncode == 0 and not done.stderr, done.stderr.decode(errors="replace")
    assert title in done.stdout


def test_what_a_finished_run_prints_in_ascii(tmp_path):
    done = in_locale(tmp_path, {"PYTHONIOENCODING": "ascii"}, "-c", RUN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii").strip() == (
        "1.50000 +- 0.00020 tau of Phi^2, 5 us, kappa -> 1, \\udcff, \\u7269")


def test_a_mistake_is_said_in_every_encoding(tmp_path):
    (tmp_path / "ä.toml").write_text(CARD.replace("ising-graph", "gräph"), encoding="utf-8")
    script = str(EXPERIMENTS / "density_of_states.py")
    for settings in (POSIX, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}):
        done = in_locale(tmp_path, settings, script, "ä.toml", "--set", "title=Größe")
        assert done.returncode == 2 and b"there is no kind" in done.stderr, done.stderr


@pytest.mark.slow  # a run in a folder with a name that the locale does not have
def test_a_run_and_its_resume_where_the_locale_lacks_letters(tmp_path):
    from phasegrok.run import runfile

    folder = tmp_path / "Größe"
    folder.mkdir()
    (folder / "umlaut.toml").write_text(CARD, encoding="utf-8")
    (folder / "triangle.csv").write_text("0,1,1\n1,2,1\n2,0,1\n")
    main = ["-c", "from phasegrok.cli import main; main()"]
    done = in_locale(tmp_path, POSIX, *main, "run", "density_of_states", "Größe/umlaut.toml",
                     "--sweeps", "2000", "--set", "title=Größe ±", "--out", "Größe/a.h5")
    assert done.returncode == 0, done.stderr
    assert b"run file Grosse/a.h5" in done.stdout and b"+-" in done.stdout
    found = runfile.read(folder / "a.h5").attributes
    assert found["title"] == "Größe ±" and found["card_folder"] == str(folder)
    assert "'title=Größe ±'" in found["command_line"]
    done = in_locale(tmp_path, POSIX, *main, "resume", "Größe/a.h5", "--sweeps", "4000")
    assert done.returncode == 0, done.stderr


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [
    "Größe ±\n".encode(), b"\xef\xbb\xbf" + "Größe ±\n".encode(), "Größe ±\n".encode("utf-16"),
    b"\xfe\xff" + "Größe ±\n".encode("utf-16-be"), "Größe ±\n".encode("utf-32")])
def test_text_is_read_in_the_encodings_that_say_what_they_are(tmp_path, raw):
    (tmp_path / "a").write_bytes(raw)
    assert text.read_text(tmp_path / "a") == "Größe ±\n"


@pytest.mark.parametrize("raw, words", [
    ("Größe".encode("latin-1"), "it is not UTF-8 (invalid start byte at byte 2): save it as UTF-8"),
    (b"\xff\xfe\x00", "it is not UTF-16"), ("0,1,1".encode("utf-16-le"), "zero bytes")])
def test_other_text_is_refused_in_one_sentence(tmp_path, raw, words):
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(ValueError, match="UTF-8") as error:
        text.read_text(tmp_path / "a")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_written_text_is_read_back(tmp_path):
    text.write_text(tmp_path / "a", "Größe ±")
    assert (tmp_path / "a").read_bytes() == "Größe ±".encode()


def test_arguments_that_the_locale_cannot_decode():
    lost = "Größe".encode().decode("ascii", "surrogateescape")
    assert text.as_typed(lost) == "Größe" and text.as_typed("Größe") == "Größe"
    assert text.as_typed("L=16") == "L=16" and text.as_typed("\udcff") == "\ufffd"


def test_no_open_or_text_of_the_package_is_left_to_the_locale():
    """Text files are opened by read_text and write_text of one module; others are binary."""
    for path in (ROOT / "phasegrok").rglob("*.py"):
        if path.name == "text.py":
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if "/proc/" in line or "memory." in line:  # of the kernel, in ASCII
                continue
            assert ".write_text(" not in line and ".read_text(" not in line, (path, number)
            if " open(" in line and "def open(" not in line:
                assert any(mode in line for mode in ('"rb"', '"wb"', '"ab"')), (path, number)


# --- no home --------------------------------------------------------------------------------------


def test_a_process_without_a_home_gets_a_private_one(monkeypatch, tmp_path):
    from phasegrok import compiled

    monkeypatch.setenv("HOME", "relative")
    monkeypatch.setattr(compiled.tempfile, "tempdir", str(tmp_path))
    environment.prepare()
    found = Path(os.environ["HOME"])
    assert found.parent == tmp_path and found.stat().st_mode & 0o777 == 0o700
    environment.prepare()
    assert Path(os.environ["HOME"]) == found
    monkeypatch.setenv("HOME", "/root")
    environment.prepare()
    assert os.environ["HOME"] == "/root"


def test_without_a_home_no_folder_of_that_name_is_made(tmp_path):
    """An id without an entry in the list of users: settings of other packages go elsewhere."""
    code = ("import pwd, os\n"
            "def none(uid): raise KeyError(uid)\n"
            "pwd.getpwuid = none\n"
            "from phasegrok.environment import prepare\n"
            "prepare()\n"
            "from pathlib import Path\n"
            "import dask.config, matplotlib\n"
            "assert Path.home().is_absolute() and os.path.isabs(dask.config.PATH)\n"
            "assert Path(matplotlib.get_configdir()).is_relative_to(Path.home())\n")
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME",
                                                            "XDG_CONFIG_HOME", "MPLCONFIGDIR")}
    env |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    (tmp_path / "here").mkdir()
    pytest.importorskip("dask")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "here", env=env,
                          capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert not list((tmp_path / "here").iterdir())


def test_a_stream_that_cannot_be_changed_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    text.show_in_any_encoding()
    print("±")
    assert sys.stdout.getvalue() == "±\n"


# --- control characters --------------------------------------------------------------------------


@pytest.mark.parametrize("said, shown", [
    ("clear \x1b[2J", r"clear \x1b[2J"),
    ("\x9b2J", r"\x9b2J"),
    ("over\rwritten", r"over\rwritten"),
    ("bell \x07, nul \0, delete \x7f", r"bell \x07, nul \x00, delete \x7f"),
    ("5.0 \u202e1.0\u202c", r"5.0 \u202e1.0\u202c"),
    ("\u2066isolated\u2069", r"\u2066isolated\u2069"),
    ("two\u2028lines", r"two\u2028lines"),
    ("path \udc80", r"path \udc80"),
    ("tag \U000e0041", r"tag \U000e0041"),
    ("⟨Φ²⟩ = 1.0 ± 0.1\n\tü 漢\\n", "⟨Φ²⟩ = 1.0 ± 0.1\n\tü 漢\\n"),
])
def test_no_control_character_reaches_the_terminal(said, shown):
    assert text.printable(said) == shown
    assert text.printable(shown) == shown
