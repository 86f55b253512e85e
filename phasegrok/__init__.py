"""phasegrok: is a learning network's sudden understanding a phase transition?

A spin lattice, a teacher-student network and a transformer are the same kind of object here: each
has a state, an energy E, an order parameter Phi, and moves or a gradient.  The package measures the
density of states, the effective potential, the relaxation and the waiting times of all of them, and
says which account of the sudden change fits.

Importing the package is instant; the rooms (``phasegrok.protocols``, ``phasegrok.thermodynamics``,
...) are imported when they are needed.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from phasegrok.face import Run

__version__ = "0.1.0"


def open(path: "str | Path", trust: bool = False) -> "Run":  # noqa: A001, of phasegrok alone
    """A run file, opened to read; see :class:`phasegrok.face.Run`.

    Parameters
    ----------
    path : str or Path
    trust : bool
        Execute code that the card of the run names: read it first.

    Raises
    ------
    RunFileError
        If the file is missing, foreign, truncated or altered: one sentence.
    """
    from phasegrok.face import Run

    return Run(path, trust)
