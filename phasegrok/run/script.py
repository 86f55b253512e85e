"""A script as it was called."""

import dataclasses
import hashlib
import math
import re
from pathlib import Path

from phasegrok.errors import InputError


@dataclasses.dataclass
class Script:
    """A script in experiments/ as it was called.

    Attributes
    ----------
    name, title, path, text, command_line : str or Path
        What it is called, its first paragraph, its file and source, and the words of the call.
    force, quick, resuming : bool
        The options of these names; whether a run file is continued.
    checkpoint_seconds : float
        Time between checkpoints.
    deadline : float
        Seconds since the epoch when ``--wall`` ends; infinite without.
    began : float
        Seconds since the epoch when the command began: a point of a scan that failed since, in
        another process, is not tried again.
    engine, workers, share
        How :func:`phasegrok.run.scan.map_points` runs its points: ``--engine``, ``--workers`` (0:
        as many as there are cores), and (i, n) of ``--point i/n``.
    """

    name: str
    title: str
    path: Path
    text: str
    command_line: str
    force: bool
    checkpoint_seconds: float
    quick: bool
    resuming: bool
    deadline: float = math.inf
    began: float = math.inf
    engine: str = "serial"
    workers: int = 0
    share: tuple[int, int] | None = None

    @property
    def sha256(self) -> str:
        """Hash of the script's source."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def option(f) -> str:
    """The option of a field of the parameters, without its dashes."""
    return f.name.replace("_", "-")

ENGINES = ("serial", "local", "slurm")


def check_engine(engine: str, workers: int) -> None:
    """Refuse what is no engine, or has no workers; raises InputError, one sentence."""

    if engine not in ENGINES and "://" not in engine and not re.fullmatch(r"[^\s:]+:\d+", engine):
        raise InputError(f"--engine {engine}: give serial, local, slurm, or the address of a "
                         "running scheduler, as tcp://10.0.0.1:8786")
    if workers < 0:
        raise InputError("--workers: give a number >= 1")
    if workers and engine not in ("local", "slurm"):
        raise InputError("--workers: only with --engine local or slurm")
