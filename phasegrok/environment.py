"""What a command finds around it and may lack (a home folder, an output for every letter), and
processes that work for it.
"""

import os
import signal
import subprocess

from phasegrok.errors import Stopped
from phasegrok.text import show_in_any_encoding

_children: list[subprocess.Popen] = []  # at work for this process


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


def run_child(command: list[str], variables: dict[str, str]) -> tuple[int, str]:
    """Run a process that works for this one: its exit code, and what it printed.

    Signals of a terminal do not reach it: who answers them calls :func:`end_children`.

    Raises
    ------
    Stopped
        Where it was ended so.
    """
    child = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True,
                             process_group=0)
    _children.append(child)
    try:
        said, _ = child.communicate()
    finally:
        child.kill()  # by now it has ended, but for an exception here
        child.wait()
        _children.remove(child)
    if child.returncode == -signal.SIGTERM:
        raise Stopped
    return child.returncode, said


def end_children() -> None:
    """End the processes of :func:`run_child`, since this one was asked to stop."""
    for child in _children:
        child.terminate()
