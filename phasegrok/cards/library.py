"""Where cards are found, by name or by path."""

from pathlib import Path
from typing import Any

import numpy as np

from phasegrok.cards.card import Card, from_text
from phasegrok.cards.values import did_you_mean
from phasegrok.errors import InputError
from phasegrok.text import read_text
from phasegrok.trust import shipped_folders


def folders() -> list[Path]:
    """Where cards are looked up: ./models, the repository, the installed share."""
    return [Path("models"), *shipped_folders("models")]


def available() -> dict[str, Path]:
    """Every card that can be named, and its file; earlier folders win."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find(reference: str) -> Path:
    """The file of a card given by path or by name.

    Raises
    ------
    InputError
        If there is none; names the nearest ones.
    """
    if Path(reference).is_file():
        return Path(reference)
    known = available()
    if reference in known:
        return known[reference]
    raise InputError(f"there is no card {reference}{did_you_mean(reference, known)}; "
                     "`phasegrok models` lists them")


def load(reference: str, overrides: dict[str, Any] | None = None, quick: bool = False,
         execute_code: bool = True, arrays: dict[str, np.ndarray] | None = None,
         section: str = "", trust: bool = False, script: str = "") -> Card:
    """Read and validate a card.

    Parameters
    ----------
    reference : str
        Path or name.
    overrides : dict
        ``--set``: dotted or bare key -> value.
    quick : bool
        Apply the card's own ``[quick]`` overrides, before ``--set``.
    execute_code : bool
        Whether the user's code that the card names may be executed.
    arrays : dict, optional
        Disorder of an earlier run, instead of drawing or reading it.
    section : str
        The section that a bare key of ``--set`` means where several have it: the script's own.
    trust : bool
        Whether code outside the card's folder may be executed, too.
    script : str
        Refuse keys of ``--set`` in sections that this script of `READS` does not read.

    Raises
    ------
    InputError
        One line for each mistake.
    """
    path = find(reference)
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error
    return from_text(text, path.parent, overrides, quick, execute_code, arrays, str(path), section,
                     trust, script)
