"""What a command finds around it and may lack: a home folder, and an output for every letter."""

import os

from phasegrok.text import show_in_any_encoding


def prepare() -> None:
    """Make up for both; every entry point calls this first."""
    show_in_any_encoding()
    _have_a_home()


def _have_a_home() -> None:
    """Without HOME and an entry in the list of users (as in containers), a private temporary one.

    Other packages keep settings and caches there, and some make a folder named ~ otherwise.
    """
    if not os.path.isabs(os.path.expanduser("~")):
        from phasegrok.compiled import temporary_root  # imported only here: it takes a moment

        os.environ["HOME"] = str(temporary_root())
