"""Which code runs unasked: what ships with the package, and what the command line names.

Run files and cards travel between people, and the scripts and classes that they name run with the
user's rights.  A hash that a file holds beside a name shows a change, not a forgery: who forges the
one writes the other.  So anything else needs the user's word, ``--trust``.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The folder in which the package stands: a clone, or where it is installed."""


def shipped_folders(kind: str) -> list[Path]:
    """Where the package's own ``experiments`` or ``models`` are: of a clone, and as installed."""
    return [REPOSITORY / kind, Path(sys.prefix) / "share" / "phasegrok" / kind]


def ships(path: Path, kind: str) -> bool:
    """Whether a file is one of the package's own ``experiments`` or ``models``."""
    path = Path(path).resolve()
    return path.is_file() and path.parent in [folder.resolve() for folder in shipped_folders(kind)]
