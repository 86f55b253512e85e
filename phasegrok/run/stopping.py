"""When a run stops before its end: signals, the time that was granted, a scan that withdraws.

A run looks between two compiled calls, writes a checkpoint and ends with :class:`Interrupted`.
A second signal raises KeyboardInterrupt there and then, and ends a process that cannot hear it.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from phasegrok import environment

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 3
received: list[int] = []  # signals of this process
_ONE_SIGNAL_SECONDS = 1.0
_WORTH_SAYING = 2.0  # seconds to the next checkpoint
_GRACE_SECONDS = 1.5  # after a second signal, for the main thread to leave a compiled call


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
    checkpoint; a second one, a second or more later, at once.  ``nohup`` is respected.

    A thread answers at once, also while the main one is in a compiled call of minutes, where a
    handler of Python waits.
    """
    first, heard = [0.0], [0.0]

    def note(number, _frame):
        heard[0] = time.monotonic()
        if received and time.monotonic() - first[0] < _ONE_SIGNAL_SECONDS:
            return  # batch systems and shells send one signal several times
        if received:
            raise KeyboardInterrupt
        received.append(number)
        first[0] = time.monotonic()
        environment.end_children()

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, note)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # a byte a signal, written at once
    threading.Thread(target=_answer, args=(reader, heard), daemon=True).start()


def _answer(reader: int, heard: list[float]) -> None:
    """Say when the run will stop; end it where the main thread does not hear a second signal."""
    os.read(reader, 1)
    begin = time.monotonic()
    wait = (f", in about {Block.seconds:.0f} s (a second signal: now, from the checkpoint "
            "before)" if Block.seconds > _WORTH_SAYING else "")
    print(f"\nstopping at the next checkpoint{wait} ...", file=sys.stderr, flush=True)
    while os.read(reader, 1):
        now = time.monotonic()
        if now - begin < _ONE_SIGNAL_SECONDS:
            continue
        time.sleep(_GRACE_SECONDS)
        if heard[0] < now:
            print("stopped at once: the same command resumes from the last checkpoint, or begins "
                  "anew where there is none", file=sys.stderr, flush=True)
            os._exit(EXIT_INTERRUPTED)
