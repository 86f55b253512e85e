"""What several test files share: calling scripts and commands, and comparing run files."""

import dataclasses
import os
import runpy
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from repository import EXPERIMENTS

from phasegrok.run import progress, stopping


@dataclasses.dataclass
class Call:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines with which bad input is refused."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """``call("training", "--steps", 10)`` runs a script, ``call("phasegrok", ...)`` the command.

    In this process, in an empty folder, where runs without --out go too.  A script is also given
    by its path.
    """
    from phasegrok import cli
    from phasegrok.run import job, stopping

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "data_folder", lambda: tmp_path / "runs")
    monkeypatch.setattr(stopping, "received", [])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(name, *arguments) -> Call:
        capsys.readouterr()
        words = [str(argument) for argument in arguments]
        code = 0
        try:
            if name == "phasegrok":
                monkeypatch.setattr(sys, "argv", [name, *words])
                cli.main()
            else:
                script = Path(name) if str(name).endswith(".py") else EXPERIMENTS / f"{name}.py"
                monkeypatch.setattr(sys, "argv", [str(script), *words])
                runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            code = 0 if end.code is None else end.code
        text = capsys.readouterr()
        return Call(code, text.out, text.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def no_figures(monkeypatch):
    """Figures take longer than small runs, and are drawn from the finished file."""
    from phasegrok import figures

    monkeypatch.setattr(figures, "save", lambda run, path: [])


def _differences(a, b, where):
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        yield f"{where}: {a.dtype}{a.shape} and {b.dtype}{b.shape}"
    elif a.tobytes() != b.tobytes():
        yield where


def _attribute_differences(a, b, where):
    if a.keys() != b.keys():
        yield f"names of the attributes of {where}"
        return
    for key in a:
        yield from _differences(a[key], b[key], f"attribute {key} of {where}")


def _all_differences(a, b):
    if a.groups.keys() != b.groups.keys():
        yield f"groups {sorted(a.groups)} and {sorted(b.groups)}"
        return
    for name, group in a.groups.items():
        other = b[name]
        if group.variables.keys() != other.variables.keys():
            yield f"{name}: {sorted(group.variables)} and {sorted(other.variables)}"
            continue
        for key in group.variables:
            yield from _differences(group[key], other[key], f"{name}/{key}")
            yield from _attribute_differences(group.variables[key].attributes,
                                              other.variables[key].attributes, f"{name}/{key}")
        yield from _attribute_differences(group.attributes, other.attributes, name)
    if (a.state or {}).keys() != (b.state or {}).keys():
        yield "the names of the state"
        return
    for key, value in (a.state or {}).items():
        yield from _differences(value, b.state[key], f"state/{key}")


@pytest.fixture
def differences():
    """Names of what differs between two run files in any bit, outside their provenance."""
    from phasegrok.run import runfile

    def compare(path_a, path_b) -> list[str]:
        return list(_all_differences(runfile.read(path_a, with_state=True),
                                     runfile.read(path_b, with_state=True)))

    return compare


@pytest.fixture
def stop_at(monkeypatch):
    """``stop_at(k)``: this process gets a SIGTERM after the k-th block from now."""
    update = progress.Progress.update
    left = [0]

    def counting(self, share, status):
        update(self, share, status)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(progress.Progress, "update", counting)

    def arm(k: int) -> None:
        stopping.received.clear()
        left[0] = k

    return arm
