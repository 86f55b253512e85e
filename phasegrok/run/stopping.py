"""When a run stops before its end: signals, the time that was granted, a scan that withdraws.

A run looks between two compiled calls, writes a checkpoint and ends with :class:`Interrupted`.
A second signal raises KeyboardInterrupt there and then.
"""

import signal
import sys
import time
from pathlib import Path

from phasegrok import environment

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 3
received: list[int] = []  # signals of this process
_ONE_SIGNAL_SECONDS = 1.0
_WORTH_SAYING = 2.0  # seconds to the next checkpoint


class Interrupted(Exception):
    """The run was asked to stop; the checkpoint at ``path`` resumes.

    ``at_once``: by a second signal, so that the checkpoint is an earlier one.
    """

    def __init__(self, path: Path, at_once: bool = False):
        super().__init__(str(path))
        self.path = path
        self.at_once = at_once


class Unfinished(Exception):
    """A scan that ends without its result, as points failed by themselves.

    Attributes
    ----------
    messages : list of str
        A sentence each.
    """

    def __init__(self, messages: list[str]):
        super().__init__("\n".join(messages))
        self.messages = messages


class Block:
    """How long a run computes without looking for signals: its last block, and a checkpoint."""

    seconds = 0.0


def catch_signals() -> None:
    """SIGTERM, SIGINT and SIGHUP (a terminal that is closed) ask this process to stop at the next
    checkpoint; a second one, a second or more later, at once.  ``nohup`` is respected."""
    first = [0.0]

    def note(number, _frame):
        if received and time.monotonic() - first[0] < _ONE_SIGNAL_SECONDS:
            return  # batch systems and shells send one signal several times
        if received:
            raise KeyboardInterrupt
        received.append(number)
        first[0] = time.monotonic()
        environment.end_children()
        wait = (f", in about {Block.seconds:.0f} s (a second signal: now, from the checkpoint "
                "before)" if Block.seconds > _WORTH_SAYING else "")
        print(f"\nstopping at the next checkpoint{wait} ...", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, note)
