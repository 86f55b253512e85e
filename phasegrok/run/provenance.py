"""Where numbers come from: versions, machine, commit and process."""

import contextlib
import json
import os
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasegrok.text import as_typed
from phasegrok.trust import REPOSITORY

if TYPE_CHECKING:  # --help is instant
    from phasegrok.cards.card import Card


def this_process() -> dict[str, Any]:
    """Who writes, and when: by which a status table knows what is alive."""
    return {"hostname": socket.gethostname(), "pid": os.getpid(), "updated": time.time()}


def of_card(card: "Card") -> dict[str, str]:
    """Attributes from which the card is read again."""
    return {"card": card.text, "card_name": card.name,
            "card_folder": as_typed(str(card.folder.resolve()))}


_provenance: dict[str, Any] = {}


def provenance() -> dict[str, Any]:
    """Versions, machine and commit of this process."""
    if not _provenance:
        import importlib.metadata as metadata

        names = ("phasegrok", "numpy", "scipy", "numba", "h5py", "torch")
        versions = {"python": platform.python_version()}
        for name in names:
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions[name] = metadata.version(name)
        _provenance.update({
            "versions": json.dumps(versions),
            "cpu": _cpu(),
            "device": "cpu",
            "git_commit": _git_commit(),
        })
    return _provenance


def _cpu() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x for x in lines if x.startswith("model name")).split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str:
    if not (REPOSITORY / ".git").exists():
        return "not in a git checkout"

    def git(*arguments):
        return subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True,
                              text=True, timeout=10, check=True).stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    return "unknown"
